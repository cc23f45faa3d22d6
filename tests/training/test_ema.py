import pytest
import torch

from gan_fast.training.ema import Averages


def track(values, batch=10, half_lives=(1.0,), ramp=1e9):
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    averages = Averages(model, half_lives, ramp)
    for i, value in enumerate(values):
        torch.nn.init.constant_(model[0].weight, value)
        model[1].running_mean.fill_(value)
        model[1].num_batches_tracked.fill_(i)
        averages.update(model, i * batch, batch)
    return averages.modules


def test_half_life():
    # The first update copies; after 1000 / 10 more steps of one value the distance has halved.
    module = track([0.0] + [1.0] * 100)["G_ema"]
    assert module[0].weight.item() == pytest.approx(0.5, abs=1e-4)
    assert module[1].running_mean.item() == pytest.approx(0.5, abs=1e-4)
    assert module[1].num_batches_tracked.item() == 100


def test_several_half_lives_at_once():
    modules = track([0.0] + [1.0] * 100, half_lives=(1.0, 0.5, 0.0))
    values = {name: module[0].weight.item() for name, module in modules.items()}
    assert values == pytest.approx({"G_ema": 0.5, "G_ema_500": 0.75, "G_ema_0": 1.0}, abs=1e-4)


def test_the_ramp_shortens_the_half_life_at_the_start():
    # After one step of 10 images the half-life is a tenth of 10 images: the second step keeps 0.5 ** 10 of the first.
    assert track([0.0, 1.0], ramp=0.1)["G_ema"][0].weight.item() == pytest.approx(1 - 0.5**10)


def test_averages_are_for_evaluation():
    module = track([0.0])["G_ema"]
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())
