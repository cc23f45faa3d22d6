"""Runs that are killed at random moments and resumed, each a fork of this process, so that torch is imported once.

    python tests/training/killed.py FOLDER

FOLDER/whole gets a run that nobody disturbs. FOLDER/killed gets the same run, killed six times after a random number of
Python calls, and four times inside a checkpoint's write: before each file is on the disk, and before it has its name.
A line on stdout tells of each kill.
"""

import os
import random
import signal
import sys
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from gan_fast import models
from gan_fast.training import Engine, Trainer, make_config
from gan_fast.training.checkpoint import list_checkpoints

STEPS = 8


def config(data: Path):
    return make_config(
        data=str(data),
        model={"img_resolution": 8, "img_channels": 3, "channel_base": 32, "channel_max": 4, "z_dim": 4, "w_dim": 4},
        batch=4,
        kimg=STEPS * 0.004,
        penalty_interval=2,
        path_length=2.0,
        path_length_interval=2,
        augment="ada",
        ada_groups="blit",
        ada_p=0.2,
        ada_kimg=1.0,
        ada_interval=3,
        ema_extra_kimg=(0.01,),
        mirror=True,
        eval_kimg=1000,
        checkpoint_kimg=0.004,
        device="cpu",
        threads=1,
    )


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after_calls(count: int) -> None:
    """Die at the count-th Python call."""
    left = [count]

    def profile(frame, event, argument):
        left[0] -= 1
        if not left[0]:
            die()

    sys.setprofile(profile)


def before_system_call(name: str, which: int, run: Path) -> None:
    """Die in place of the which-th call of os.fsync or os.replace that a checkpoint's write makes."""
    call, left = getattr(os, name), [which]

    def dying(*arguments):
        left[0] -= any(p.name.startswith(".checkpoint") for p in run.iterdir())
        if not left[0]:
            die()
        return call(*arguments)

    setattr(os, name, dying)


def train(data: Path, run: Path) -> None:
    settings = config(data)
    if run.is_dir() and list_checkpoints(run):
        Trainer.resume(run).run()
    else:
        Trainer(settings, run, restart=True).run()


def forked(prepare, data: Path, run: Path) -> int:
    """The signal that ended a fork of this process which trains; 0: it came to its end."""
    child = os.fork()
    if not child:
        prepare()
        train(data, run)
        sys.setprofile(None)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def calls_of_a_run(data: Path, run: Path) -> int:
    """Python calls of a whole run, counted in a fork."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        count = [0]
        sys.setprofile(lambda *event: count.__setitem__(0, count[0] + 1))
        train(data, run)
        sys.setprofile(None)
        os.write(writable, str(count[0]).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(readable, 99))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    data, run = folder / "data", folder / "killed"
    data.mkdir()
    for i in range(5):
        Image.new("RGB", (8, 8), (50 * i, 10, 0)).save(data / f"{i}.png")
    # Imports the rest, once for all forks; not a Trainer, as forks would miss the threads that decode images.
    Engine(*models.build(config(data).network()), config(data).recipe(on_gpu=False))
    calls = calls_of_a_run(data, folder / "whole")
    rng = random.Random(0)
    kills = [partial(after_calls, rng.randrange(1, calls // 3)) for _ in range(6)]
    kills[1:1] = [partial(before_system_call, name, 2, run) for name in ("fsync", "replace")]
    kills[5:5] = [partial(before_system_call, name, 3, run) for name in ("fsync", "replace")]
    for kill in kills:
        status = forked(kill, data, run)
        found = [p.name for p in list_checkpoints(run)] if run.is_dir() else []
        print(status, found[-1] if found else None, flush=True)
    assert forked(lambda: None, data, run) == 0
