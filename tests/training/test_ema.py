import pytest
import torch

from gan_fast.training.ema import averaged


def track(values, **settings):
    model = torch.nn.Linear(1, 1)
    model.register_buffer("w_avg", torch.zeros(1))
    average = averaged(model, **settings)
    for value in values:
        torch.nn.init.constant_(model.weight, value)
        model.w_avg.fill_(value)
        average.update_parameters(model)
    return average.module


def test_half_life():
    # The first update copies; after 1000 / 10 more steps of one value the distance has halved.
    module = track([0.0] + [1.0] * 100, batch=10, half_life_kimg=1, ramp=1e9)
    assert module.weight.item() == pytest.approx(0.5, abs=1e-4)
    assert module.w_avg.item() == pytest.approx(0.5, abs=1e-4)


def test_the_ramp_shortens_the_half_life_at_the_start():
    # After one step of 10 images the half-life is a tenth of 10 images: the second step keeps 0.5 ** 10 of the first.
    module = track([0.0, 1.0], batch=10, half_life_kimg=1, ramp=0.1)
    assert module.weight.item() == pytest.approx(1 - 0.5**10)


def test_no_half_life_follows_the_model():
    assert track([0.0, 1.0, 5.0], batch=10, half_life_kimg=0, ramp=0.1).weight.item() == 5
