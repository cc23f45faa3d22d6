import errno
import os

import pytest
import torch

from gan_fast.training.checkpoint import (
    Checkpoint,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_state,
    save_checkpoint,
    sweep,
    write_atomically,
)


def state(step):
    weights = {"G": {"fc.weight": torch.full((4, 3), float(step))}, "D": {"b4.bias": torch.arange(5.0)}}
    return Checkpoint(step, {"seed": 1}, {"c_dim": 2}, ("a", "b"), {"images": 5}, weights)


def save(folder, step, keep=2):
    return save_checkpoint(folder, state(step), {"G": {"lr": 0.5}}, keep)


def test_what_is_read_is_what_was_written(tmp_path):
    path = save(tmp_path, 12)
    assert load_checkpoint(path).weights["G"]["fc.weight"].equal(torch.full((4, 3), 12.0))
    read, written = load_checkpoint(path), state(12)
    assert (read.step, read.config, read.network, read.class_names) == (12, {"seed": 1}, {"c_dim": 2}, ("a", "b"))
    assert read.data == {"images": 5}
    assert read.weights.keys() == written.weights.keys()
    assert load_state(path, 12) == {"step": 12, "G": {"lr": 0.5}}


def test_the_newest_are_kept_and_found(tmp_path):
    for step in (1, 20, 3):
        save(tmp_path, step)
    assert [p.name for p in list_checkpoints(tmp_path)] == [
        "checkpoint-00000003.safetensors",
        "checkpoint-00000020.safetensors",
    ]
    assert len(list(tmp_path.iterdir())) == 4
    assert find_checkpoint(tmp_path).name == "checkpoint-00000020.safetensors"


@pytest.mark.parametrize("length", [0, 5, 100, -4])
def test_a_truncated_checkpoint_is_named(tmp_path, length):
    path = save(tmp_path, 3)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"checkpoint-00000003\.safetensors"):
        load_checkpoint(path)
    rest = path.with_suffix(".state.pt")
    rest.write_bytes(rest.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"checkpoint-00000003\.state\.pt"):
        load_state(path, 3)


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint in"):
        find_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="absent"):
        find_checkpoint(tmp_path / "absent")
    path = save(tmp_path, 3)
    with pytest.raises(ValueError, match="belongs to step 3"):
        load_state(path, 4)
    path.with_suffix(".state.pt").unlink()
    with pytest.raises(ValueError, match=r"state\.pt"):
        load_state(path, 3)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors is no checkpoint"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_state_files_run_no_code(tmp_path):
    path = save(tmp_path, 3)
    torch.save({"step": 3, "G": os.system}, path.with_suffix(".state.pt"))
    with pytest.raises(ValueError, match=r"state\.pt"):
        load_state(path, 3)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def crash(file):
        file.write(b"half of the n")
        raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        write_atomically(path, crash)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_while_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 3)

    def crash(source, target):
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="disk"):
        save(tmp_path, 4)
    monkeypatch.undo()
    path = find_checkpoint(tmp_path)
    assert load_checkpoint(path).step == 3
    assert load_state(path, 3)["step"] == 3


def test_nan_is_never_saved(tmp_path):
    bad = state(5)
    bad.weights["G"]["fc.weight"][1, 1] = float("nan")
    with pytest.raises(ValueError, match=r"G\.fc\.weight holds NaN.*step 5"):
        save_checkpoint(tmp_path, bad, {}, keep=2)
    assert not list(tmp_path.iterdir())


def test_the_best_is_kept_beside_the_newest(tmp_path):
    for step in range(1, 6):
        save_checkpoint(tmp_path, state(step), {}, keep=1, best=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == [
        "checkpoint-00000002.safetensors",
        "checkpoint-00000005.safetensors",
    ]
    assert load_state(list_checkpoints(tmp_path)[0], 2) == {"step": 2}


@pytest.mark.parametrize("call", ["fsync", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_or_read_only_folder_is_named_and_harms_nothing(tmp_path, monkeypatch, call, code):
    save(tmp_path, 3)

    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match=rf"cannot write .*checkpoint-00000004\.state\.pt: {os.strerror(code)}"):
        save(tmp_path, 4)
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint-00000003.safetensors",
        "checkpoint-00000003.state.pt",
    ]
    assert load_checkpoint(find_checkpoint(tmp_path)).step == 3


def test_what_a_killed_process_left_is_swept(tmp_path):
    save(tmp_path, 3)
    for name in (".checkpoint-00000004.safetensors.x1.part", "checkpoint-00000004.state.pt"):
        (tmp_path / name).touch()
    (tmp_path / "mine.pt").touch()
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint-00000003.safetensors",
        "checkpoint-00000003.state.pt",
        "mine.pt",
    ]
