import json
import math
import os
import signal

import pytest
import torch
from PIL import Image

from gan_fast.training import Trainer, latest_run, load_generator, stop_signals
from gan_fast.training.checkpoint import find_checkpoint, list_checkpoints
from gan_fast.training.runs import new_run_folder
from gan_fast.training.stats import evaluations, read

PICTURES = {"img_resolution": 8, "img_channels": 3, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}


def weights(trainer):
    return [t.clone() for module in trainer.engine.state_dict()["weights"].values() for t in module.values()]


def assert_same(a, b):
    assert all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def test_the_same_settings_give_the_same_weights(tiny, tmp_path):
    first = Trainer(tiny(), tmp_path / "a")
    start = weights(first)
    assert first.run()
    torch.rand(3)  # what else draws random numbers in the process does not matter
    second = Trainer(tiny(), tmp_path / "b")
    assert second.run()
    assert_same(first, second)
    assert not torch.equal(weights(first)[0], start[0])
    other = Trainer(tiny(seed=1), tmp_path / "c")
    assert not torch.equal(weights(other)[0], start[0])


SMALL = {"img_resolution": 8, "z_dim": 8}
BEGAN = {"preset": "began-digits", "model": {**SMALL, "channels": 4, "code_dim": 4}, "optimizer": "optimistic_adam"}
GROWING = {"preset": "progressive-digits", "model": {**SMALL, "channel_base": 64, "channel_max": 8}}


@pytest.mark.parametrize(
    ("stop", "changes"),
    [
        (3, {}),
        (4, {}),
        (3, {**BEGAN, "style_mixing": 0.0, "micro_batch": 4, "unroll": 1, "historical": 0.1}),
        (5, {**GROWING, "style_mixing": 0.0, "grow_kimg": 0.024}),
    ],
    ids=["between checkpoints", "at a checkpoint", "began", "growing"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(tiny, tmp_path, stop, changes):
    whole = Trainer(tiny(**changes), tmp_path / "whole")
    assert whole.run()
    cut = Trainer(tiny(**changes), tmp_path / "cut")
    assert not cut.run(should_stop=lambda: cut.step == stop)
    resumed = Trainer.resume(tmp_path / "cut")
    assert resumed.step == stop
    assert resumed.run()
    assert_same(whole, resumed)
    for a, b in zip(whole.engine.g_adam.state.values(), resumed.engine.g_adam.state.values(), strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a.keys() | b.keys())
    for name in ("began_k", "path_length", "ada_p"):
        assert torch.equal(getattr(whole.engine, name), getattr(resumed.engine, name))
    assert evaluations(tmp_path / "whole") == evaluations(tmp_path / "cut")


def test_a_resumed_run_writes_its_log_again_from_there(tiny, tmp_path):
    trainer = Trainer(tiny(), tmp_path / "run")
    trainer.run()
    resumed = Trainer.resume(find_checkpoint(tmp_path / "run").with_name("checkpoint-00000004.safetensors"))
    resumed.run()
    steps = [r["step"] for r in read(tmp_path / "run")]
    assert steps == sorted(steps)
    assert [r["step"] for r in evaluations(tmp_path / "run")] == [0, 8]


def test_a_finished_run_can_be_made_longer(tiny, tmp_path):
    whole = Trainer(tiny(kimg=0.096), tmp_path / "whole")
    whole.run()
    short = Trainer(tiny(), tmp_path / "short")
    short.run()
    longer = Trainer.resume(tmp_path / "short", kimg=0.096)
    longer.run()
    assert_same(whole, longer)
    with pytest.raises(ValueError, match="gamma: a resumed run keeps"):
        Trainer.resume(tmp_path / "short", gamma=3.0)


def test_the_losses_fall(tiny, tmp_path, metrics):
    model = {"img_resolution": 8, "channel_base": 128, "channel_max": 16}
    assert Trainer(tiny(kimg=0.64, batch=16, g_lr=0.005, d_lr=0.005, model=model), tmp_path / "r").run()
    first, last = evaluations(tmp_path / "r")
    assert last["fd_digits"] < 0.8 * first["fd_digits"]
    penalties = [r for r in read(tmp_path / "r") if r["kind"] == "progress"]
    assert 0 < penalties[-1]["Dmain"] < 2 * math.log(2)
    assert penalties[-1]["penalty"] > 0
    assert last["samples"] == 896
    assert 0 <= last["class_accuracy"] <= 1


def test_what_a_run_leaves(tiny, tmp_path):
    run = tmp_path / "r"
    Trainer(tiny(keep_checkpoints=1), run).run()
    names = sorted(p.name for p in run.iterdir())
    assert names == [
        "checkpoint-00000008.safetensors",
        "checkpoint-00000008.state.pt",
        "fakes-00000000.png",
        "fakes-00000008.png",
        "log.jsonl",
        "reals.png",
        "report.html",
    ]
    generator, checkpoint = load_generator(run)
    assert generator(torch.zeros(2, 8), torch.eye(10)[:2]).shape == (2, 1, 8, 8)
    assert (checkpoint.step, checkpoint.class_names[3]) == (8, "3")
    with pytest.raises(ValueError, match="never overwritten"):
        Trainer(tiny(), run)


def test_nan_stops_the_run_and_keeps_the_last_checkpoint(tiny, tmp_path):
    trainer = Trainer(tiny(), tmp_path)
    trainer.run(should_stop=lambda: trainer.step == 4)
    kept = list_checkpoints(tmp_path)
    with torch.no_grad():
        trainer.engine.discriminator.b4.out.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"loss of Gmain is nan at step 4 .*D\.b4\.out, whose weights"):
        trainer.run()
    assert list_checkpoints(tmp_path) == kept


def test_a_signal_saves_and_stops(tiny, tmp_path):
    trainer = Trainer(tiny(), tmp_path)
    with stop_signals() as stopped:
        finished = trainer.run(lambda record: os.kill(os.getpid(), signal.SIGTERM), lambda: stopped() is not None)
    assert not finished
    assert stopped() is signal.SIGTERM
    assert list_checkpoints(tmp_path)[-1].name == "checkpoint-00000001.safetensors"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_while_metrics_are_computed_saves_and_stops(tiny, tmp_path, metrics):
    """The evaluation that was given up is made when the run goes on."""
    whole = Trainer(tiny(eval_kimg=0.032), tmp_path / "whole")
    whole.run()
    trainer = Trainer(tiny(eval_kimg=0.032), tmp_path / "cut")
    with stop_signals() as stopped:
        draw = trainer.evaluation._draw

        def draw_and_signal(*arguments):
            if trainer.step == 4:
                os.kill(os.getpid(), signal.SIGTERM)
            return draw(*arguments)

        trainer.evaluation._draw = draw_and_signal
        assert not trainer.run(should_stop=lambda: stopped() is not None)
    assert [r["step"] for r in evaluations(tmp_path / "cut")] == [0]
    assert list_checkpoints(tmp_path / "cut")[-1].name == "checkpoint-00000004.safetensors"
    Trainer.resume(tmp_path / "cut").run()
    assert evaluations(tmp_path / "cut") == evaluations(tmp_path / "whole")


def test_a_metric_that_fails_is_reported_and_training_goes_on(tiny, tmp_path, metrics):
    trainer = Trainer(tiny(), tmp_path / "r")
    trainer.evaluation.metrics.labels = torch.tensor([99])
    assert trainer.run()
    assert [set(r) - {"kind", "step", "kimg"} for r in evaluations(tmp_path / "r")] == [{"grid", "metric_error"}] * 2


def test_the_best_checkpoint_is_kept(tiny, tmp_path, metrics):
    class Metrics:
        labels, real_halves = torch.arange(2), {"fd_digits": 0.3, "recall": 0.9, "coverage": 0.9}
        values = iter([9.0, 5.0, 2.0, 4.0, 3.0])

        def __init__(self):
            self.protocol = {"revision": 1, "resize": "none", "reference": "two images"}

        def __call__(self, images, labels):
            return {"samples": 2, "fd_digits": next(self.values), "recall": 0.5, "coverage": 0.5}

    trainer = Trainer(tiny(eval_kimg=0.016, checkpoint_kimg=1000, keep_checkpoints=1), tmp_path)
    trainer.evaluation.make_metrics = Metrics
    trainer.run()
    assert [p.name for p in list_checkpoints(tmp_path)] == [
        "checkpoint-00000004.safetensors",
        "checkpoint-00000008.safetensors",
    ]


def test_weights_are_transferred_where_they_fit(tiny, tmp_path):
    source = Trainer(tiny(), tmp_path / "source")
    source.run()
    model = tiny().model | {"w_dim": 4}
    trainer = Trainer(tiny(transfer=str(tmp_path / "source"), seed=3, model=model), tmp_path / "to")
    given = source.engine.averages.modules["G_ema"].state_dict()
    assert torch.equal(trainer.engine.generator.state_dict()["synthesis.b4.const"], given["synthesis.b4.const"])
    assert torch.equal(
        trainer.engine.discriminator.b8.conv0.weight, source.engine.discriminator.b8.conv0.weight.detach()
    )
    assert "G.mapping.fc1.weight: [8, 8] there, [4, 4] here" in trainer.transferred
    assert not any("b8.conv0.weight" in line for line in trainer.transferred)


def test_networks_that_grow_keep_their_size_in_a_transfer(tiny, tmp_path):
    model = {**SMALL, "channel_base": 64, "channel_max": 8}
    settings = {"preset": "progressive-digits", "model": model, "style_mixing": 0.0}
    source = Trainer(tiny(**settings, grow_kimg=1.0), tmp_path / "source")
    source.run()
    assert source.engine.generator.level < source.engine.generator.last
    trainer = Trainer(tiny(**settings, transfer=str(tmp_path / "source")), tmp_path / "to")
    for network in (trainer.engine.generator, trainer.engine.discriminator):
        assert network.saved_level == network.level == network.last


def test_real_images_are_mirrored_in_half_of_the_cases(tiny, tmp_path):
    plain, mirrored = (Trainer(tiny(mirror=m), tmp_path / str(m))._batch(0)[0] for m in (False, True))
    same = [torch.equal(a, b) for a, b in zip(plain, mirrored, strict=True)]
    assert 0 < sum(same) < len(same)
    assert all(torch.equal(a, b) or torch.equal(a.flip(2), b) for a, b in zip(plain, mirrored, strict=True))


def test_a_run_without_a_checkpoint_can_begin_anew(tiny, tmp_path):
    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(tiny(), tmp_path / "r").run(stop)
    with pytest.raises(ValueError, match="never overwritten"):
        Trainer(tiny(), tmp_path / "r")
    assert Trainer(tiny(), tmp_path / "r", restart=True).run()
    assert [r["step"] for r in evaluations(tmp_path / "r")] == [0, 8]
    with pytest.raises(ValueError, match="never overwritten"):
        Trainer(tiny(), tmp_path / "r", restart=True)


@pytest.mark.parametrize("count", [9, 16])
def test_images_without_classes(tiny, tmp_path, metrics, count):
    """Of nine images a half is too small for metrics, which the log says; with 16 there are metrics and curves."""
    for i in range(count):
        Image.new("RGB", (8, 8), (20 * i, 10, 0)).save(tmp_path / f"{i}.png")
    trainer = Trainer(tiny(data=str(tmp_path), model=PICTURES, kimg=0.016), tmp_path / "run")
    assert trainer.network.c_dim == 0
    assert trainer.run()
    last = evaluations(tmp_path / "run")[-1]
    assert ("fd_filters" in last) == (count == 16)
    assert ("9 images are too few" in last.get("metric_error", "")) == (count == 9)
    assert (tmp_path / "run" / "curves.png").exists() == (count == 16)


@pytest.fixture
def pictures(tmp_path):
    """Writes 16 pictures into a folder; where `vectors`, a vector of two numbers conditions each."""

    def write(vectors=False, **colours):
        folder = tmp_path / "pictures"
        folder.mkdir(exist_ok=True)
        for i in range(16):
            Image.new("RGB", (8, 8), colours.get(f"_{i}", (15 * i, 10, 0))).save(folder / f"{i:02}.png")
        if vectors:
            labels = [[f"{i:02}.png", [i / 16, 1 - i]] for i in range(16)]
            (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
        return folder

    return write


def test_data_conditioned_by_vectors_are_judged_by_vectors_of_their_own(tiny, tmp_path, metrics, pictures):
    """In the grid the one of the image in the same place, in metrics those of the second half."""
    trainer = Trainer(tiny(data=str(pictures(vectors=True)), model=PICTURES, kimg=0.008), tmp_path / "r")
    asked, vectors = [], trainer.data.vectors
    mapping = trainer.engine.averages.modules["G_ema"].mapping
    mapping.register_forward_pre_hook(lambda module, given: asked.append(given[1].cpu()))
    trainer.run()
    assert all("fd_filters" in record for record in evaluations(tmp_path / "r"))
    in_grid, in_metrics, *_ = asked
    assert torch.equal(in_grid, vectors[torch.arange(100) % 16])
    assert torch.equal(in_metrics[:, 0].sort().values, vectors[1::2, 0])


def test_data_that_have_changed_are_named(tiny, tmp_path, pictures):
    folder = pictures()
    config = tiny(data=str(folder), model=PICTURES)
    Trainer(config, tmp_path / "r").run(should_stop=lambda: True)
    assert Trainer.resume(tmp_path / "r").step == 1
    pictures(_3=(0, 0, 99))
    with pytest.raises(ValueError, match=r"data: changed since the checkpoint: the pixels, .*accept_data"):
        Trainer.resume(tmp_path / "r")
    (folder / "03.png").unlink()
    with pytest.raises(ValueError, match=r"data: changed .*: images \(was 16, is 15\); accept"):
        Trainer.resume(tmp_path / "r")
    accepted = Trainer.resume(tmp_path / "r", accept_data=True)
    accepted.run(should_stop=lambda: accepted.step == 2)
    assert Trainer.resume(tmp_path / "r").step == 2
    pictures(vectors=True)
    with pytest.raises(ValueError, match=r"data: changed .*c_dim"):
        Trainer.resume(tmp_path / "r")


def test_classes_that_have_changed_are_named(tiny, tmp_path):
    folder = tmp_path / "pictures"
    for name in ("ant/0.png", "ant/1.png", "bee/2.png", "bee/3.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(folder / name)
    Trainer(tiny(data=str(folder), model=PICTURES), tmp_path / "r").run(should_stop=lambda: True)
    (folder / "ant" / "1.png").rename(folder / "bee" / "1.png")
    with pytest.raises(ValueError, match="changed since the checkpoint: class ant, class bee; accept_data"):
        Trainer.resume(tmp_path / "r")
    (folder / "cow").mkdir()
    (folder / "bee" / "1.png").rename(folder / "cow" / "1.png")
    with pytest.raises(ValueError, match="data: the networks take conditions of width 2, and these have 3"):
        Trainer.resume(tmp_path / "r", accept_data=True)


def test_float16_trains(tiny, tmp_path):
    """The images of the first step are float32's, but for rounding, and so are they with weights 10,000 times as large,
    which demodulation takes back, but whose sums in float16 would be infinite without their normalisation."""
    model = tiny().model | {"img_resolution": 16, "conv_clamp": 256}
    trainers = [Trainer(tiny(precision=p, model=model, kimg=0.016), tmp_path / p) for p in ("float32", "float16")]
    assert trainers[1].engine.generator.synthesis.b16.dtype == torch.float16
    ws = torch.randn(4, trainers[0].engine.generator.num_ws, 8, device=trainers[0].device)
    for factor in (1, 1e4):
        images = []
        for trainer in trainers:
            synthesis = trainer.engine.generator.synthesis
            with torch.no_grad():
                for block in (synthesis.b8, synthesis.b16):
                    block.conv0.weight *= factor
                    block.conv1.weight *= factor
                images.append(synthesis(ws, "const"))
        assert 0 < (images[0] - images[1]).norm() < 0.01 * images[0].norm()
    assert trainers[1].run()
    last = [r for r in read(tmp_path / "float16") if r["kind"] == "progress"][-1]
    assert math.isfinite(last["Dmain"])
    assert load_generator(tmp_path / "float16")[0].synthesis.b16.dtype == torch.float16


def test_runs_are_numbered(tmp_path):
    assert new_run_folder("digits", tmp_path).name == "00000-digits"
    (tmp_path / "00007-cats").mkdir()
    assert new_run_folder("some/cats", tmp_path).name == "00008-cats"
    with pytest.raises(ValueError, match="no run with a checkpoint"):
        latest_run(tmp_path)
    (tmp_path / "00007-cats" / "checkpoint-00000001.safetensors").touch()
    assert latest_run(tmp_path).name == "00007-cats"


def test_a_log_line_cut_short_is_left_out(tmp_path):
    (tmp_path / "log.jsonl").write_text(json.dumps({"kind": "x", "step": 1}) + '\n{"kind": "y", "st')
    assert read(tmp_path) == [{"kind": "x", "step": 1}]
