"""Processes that start at once, after one that was killed, and a second version of torch, over one cache folder."""

import json
import os
import subprocess
import sys

# Torch is imported once; each process that is forked then starts as a user's does: imports, calls, times, writes.
STARTING = """
import importlib.metadata, json, os, signal, time
import torch

def start(number, version=None, killed=False):
    if process := os.fork():
        return process
    if version:
        importlib.metadata.version = lambda package: version
    from gan_fast.compat import install
    from gan_fast.ops import autotune
    autotune.SECONDS = 0.01
    install("torch_utils.ops", "op")
    from op import FusedLeakyReLU, upfirdn2d
    from torch_utils.ops import conv2d_resample
    torch.manual_seed(0)
    x, w, f = torch.randn(1, 4, 8, 8), torch.randn(4, 4, 3, 3, requires_grad=True), torch.ones(4, 4)
    y = conv2d_resample.conv2d_resample(FusedLeakyReLU(4)(x), w, f, up=2, padding=1)
    upfirdn2d(y, f, pad=(2, 1)).square().sum().backward()
    if killed:  # with the lock held, and half of its work done
        os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
    calls = {name: lambda: time.sleep(1e-4) for name in ("first", "second")}
    winner = autotune.fastest("starting", (8, 8), calls, torch.device("cpu"))
    os.write(1, (json.dumps([number, winner, w.grad.sum().item()]) + "\\n").encode())
    os._exit(0)

def codes(processes):
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]

print(json.dumps(codes([start(0, killed=True)])), flush=True)
print(json.dumps(codes([start(number) for number in range(8)])), flush=True)
print(json.dumps(codes([start(8, version="2.99")])), flush=True)
"""


def test_eight_at_once_after_one_that_was_killed(tmp_path):
    environment = os.environ | {"GAN_FAST_CACHE": str(tmp_path), "GAN_FAST_AUTOTUNE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", STARTING], env=environment, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == [-9], done.stderr
    assert [0] * 8 in lines, done.stderr
    answers = {number: rest for number, *rest in (line for line in lines if len(line) == 3)}
    assert sorted(answers) == list(range(9)), done.stderr
    assert all(answers[number] == answers[0] for number in range(8))
    assert answers[8][1] == answers[0][1]  # of the gradient; another torch may find another way fastest
    assert "warn" not in done.stderr.lower()
    caches = sorted(path.name for path in tmp_path.glob("*.json"))
    assert len(caches) == 2
    assert sum("2.99" in name for name in caches) == 1
    for path in tmp_path.glob("*.json"):
        assert [entry["op"] for entry in json.loads(path.read_text())] == ["starting"]
