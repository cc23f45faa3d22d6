"""Two gloo ranks against one process that has the whole batch."""

import os
import socket

import pytest
import torch
from PIL import Image

from gan_fast import models
from gan_fast.data import share
from gan_fast.training import Trainer, make_config
from gan_fast.training.checkpoint import load_checkpoint
from gan_fast.training.engine import Engine
from gan_fast.training.ranks import Ranks, ranks_of_torchrun
from gan_fast.training.recipe import Recipe

NETWORKS = {"img_resolution": 8, "img_channels": 3, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}
RECIPE = Recipe(
    objective="relativistic",
    gamma=2.0,
    path_length=2.0,
    style_mixing=1.0,
    mode_seeking=0.1,
    class_group=2,
    translate=0.25,
    unroll=1,
    historical=0.1,
)
PHASES = ("Gmain", "Greg", "Dmain", "Dreg")
STEPS = {"one": 3, "two": 6, "all": 8}


def gradients(ranks, accumulate):
    """Each phase's gradient, in float64, with noise, augmentation and minibatch statistics on."""
    torch.manual_seed(0)
    pair = [net.double() for net in models.build(models.preset("digits", **NETWORKS, c_dim=2))]
    for name, p in pair[0].named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(p, 0.3)
    engine = Engine(*pair, RECIPE, ranks=ranks, accumulate=accumulate)
    engine.path_length.fill_(0.5)
    x = torch.rand(8, 3, 8, 8, dtype=torch.float64) * 2 - 1
    c = torch.eye(2, dtype=torch.float64)[torch.arange(4).repeat(2) % 2]
    found = {}
    for phase in engine.phases:
        means = engine.gradients(phase, *(share(t, ranks.index, ranks.count, 2) for t in (x, c)))
        found[phase.name] = torch.cat([p.grad.flatten() for p in phase.parameters if p.grad is not None])
        found |= {f"{phase.name}: {name}": value[None] for name, value in means.items() if value.ndim == 0}
    return found


def began(ranks, accumulate):
    """k and M after a step."""
    torch.manual_seed(0)
    model = {"img_resolution": 8, "channels": 4, "z_dim": 8, "code_dim": 4, "c_dim": 0}
    pair = [net.double() for net in models.build(models.preset("began-digits", **model))]
    engine = Engine(*pair, Recipe(objective="began", penalty="none"), ranks=ranks, accumulate=accumulate)
    images = torch.rand(8, 1, 8, 8, dtype=torch.float64) * 2 - 1
    measure = engine.step(share(images, ranks.index, ranks.count, 1))["began_m"]
    return torch.stack([engine.began_k, measure])


def config(data, steps):
    return make_config(
        data=str(data),
        model=NETWORKS,
        batch=8,
        micro_batch=4,
        kimg=steps * 0.008,
        penalty_interval=2,
        path_length=2.0,
        augment="ada",
        ada_p=0.3,
        ada_kimg=1.0,
        optimizer="optimistic_adam",
        historical=0.1,
        mirror=True,
        eval_kimg=1000,
        checkpoint_kimg=1000,
        device="cpu",
        threads=1,
    )


def rank_process(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with ranks_of_torchrun("cpu") as ranks:
        torch.save(gradients(ranks, 1), f"{folder}/gradients{rank}")
        torch.save(began(ranks, 1), f"{folder}/began{rank}")
        trainer = Trainer.resume(f"{folder}/cut", ranks=ranks)
        trainer.run(should_stop=lambda: trainer.step == STEPS["two"])
        torch.save(trainer.engine.state_dict(), f"{folder}/state{rank}")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """The folder where two ranks have left their gradients and a run that went from one rank to two."""
    folder = tmp_path_factory.mktemp("ranks")
    for i in range(12):
        path = folder / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * i, 10, 0)).save(path)
    trainer = Trainer(config(folder / "images", STEPS["two"]), folder / "cut")
    trainer.run(should_stop=lambda: trainer.step == STEPS["one"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(rank_process, (port, str(folder)), nprocs=2)
    return folder


def test_gradients_of_each_phase_equal_those_of_one_process(two_ranks):
    expected = gradients(Ranks(), 2)
    for rank in range(2):
        found = torch.load(two_ranks / f"gradients{rank}")
        assert set(PHASES) < found.keys() == expected.keys()
        for name, value in expected.items():
            assert (found[name] - value).norm() <= 1e-10 * value.norm(), name


def test_began_is_steered_by_the_batch_of_all_ranks(two_ranks):
    expected = began(Ranks(), 2)
    assert (expected > 0).all()
    for rank in range(2):
        torch.testing.assert_close(torch.load(two_ranks / f"began{rank}"), expected)


def test_from_one_rank_to_two_and_back(two_ranks):
    states = [torch.load(two_ranks / f"state{rank}") for rank in range(2)]
    for name in ("G", "D", "G_ema"):
        for a, b in zip(*(s["weights"][name].values() for s in states), strict=True):
            assert torch.equal(a, b), "ranks differ"
    last = Trainer.resume(two_ranks / "cut", kimg=STEPS["all"] * 0.008)
    assert last.step == STEPS["two"]
    last.run()
    whole = Trainer(config(two_ranks / "images", STEPS["all"]), two_ranks / "whole")
    whole.run()
    found, expected = (load_checkpoint(t.run_folder / "checkpoint-00000008.safetensors") for t in (last, whole))
    for name, weights in expected.weights.items():
        for key, value in weights.items():
            torch.testing.assert_close(found.weights[name][key], value, rtol=1e-3, atol=1e-4)
    assert 0 < last.engine.ada_p == whole.engine.ada_p < 0.3


@pytest.mark.parametrize(
    ("settings", "count", "named"),
    [({"batch": 8}, 3, "batch: 8 .* 3 ranks"), ({"batch": 8, "micro_batch": 8}, 2, "micro_batch: .* 4 images")],
)
def test_batches_that_cannot_be_shared_are_named(tmp_path, settings, count, named):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=named):
        Trainer(make_config(data=str(tmp_path), model=NETWORKS, device="cpu", **settings), ranks=Ranks(0, count))
