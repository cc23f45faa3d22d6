import subprocess
import sys
from pathlib import Path

import torch

from gan_fast.training.checkpoint import list_checkpoints, load_checkpoint, load_state
from gan_fast.training.stats import read

SCRIPT = Path(__file__).with_name("killed.py")


def leaves(value, path=""):
    if isinstance(value, dict):
        return {k: v for name, child in value.items() for k, v in leaves(child, f"{path}.{name}").items()}
    if isinstance(value, list):
        return leaves(dict(enumerate(value)), path)
    return {path: value}


def test_a_run_killed_ten_times_equals_one_that_was_not(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kills = [line.split() for line in done.stdout.splitlines()]
    assert [status for status, _ in kills] == ["-9"] * 10
    assert len({found for _, found in kills}) >= 3, "the kills fell at different stages of the run"
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    names = sorted(p.name for p in whole.iterdir())
    assert sorted(p.name for p in killed.iterdir()) == names
    for expected in list_checkpoints(whole):
        a, b = (load_checkpoint(run / expected.name) for run in (killed, whole))
        assert (a.config, a.network, a.step) == (b.config, b.network, b.step)
        states = [
            leaves({"weights": c.weights, **load_state(run / expected.name, c.step)})
            for c, run in ((a, killed), (b, whole))
        ]
        assert states[0].keys() == states[1].keys()
        assert {".path_length", ".ada_p", ".images", ".weights.G_ema_10.mapping.w_avg"} < states[0].keys()
        for name, value in states[1].items():
            same = torch.equal(states[0][name], value) if torch.is_tensor(value) else states[0][name] == value
            assert same, name
    # A line of the log holds means over the steps since the process began.
    logs = [[{k: v for k, v in r.items() if r["kind"] == "evaluation"} for r in read(run)] for run in (killed, whole)]
    assert logs[0] == logs[1]
