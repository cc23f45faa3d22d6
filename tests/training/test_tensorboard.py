import sys

import pytest

from gan_fast.training import Trainer, stats


def test_the_numbers_of_the_log_are_written(tiny, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is an extra")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Trainer(tiny(kimg=0.016, tensorboard=True), tmp_path / "r").run()
    written = EventAccumulator(str(tmp_path / "r" / "tensorboard")).Reload()
    logged = next(r for r in stats.read(tmp_path / "r") if r["kind"] == "progress")
    (event,) = written.Scalars("progress/Gmain")
    assert (event.step, event.value) == (2, pytest.approx(logged["Gmain"]))


def test_without_the_package_the_extra_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'gan-fast\[tensorboard\]'"):
        Trainer(tiny(tensorboard=True), tmp_path / "r")
    assert not (tmp_path / "r").exists()
