import json
import re
import subprocess
import sys

import pytest
from PIL import Image

from gan_fast.cli import COMMANDS, GROUPS

SHORT = [
    "--kimg=0.016", "--batch=8", "--threads=1",
    "--set=model={img_resolution=8, channel_base=64, channel_max=8, z_dim=8, w_dim=8}",
]  # fmt: skip


def test_train_resume_generate(call, tmp_path):
    result = call("train", *SHORT)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith("1442 images, 8x8, 10 classes; G ")
    table = result.output[result.output.index("real halves") :]
    for name in (
        "FD_digits",
        "precision",
        "recall",
        "density",
        "coverage",
        "classes",
        "class accuracy",
        "samples",
    ):
        assert name in table
    assert lines[-1] == "Next: gan-fast generate runs/00000-digits --classes 3 --psi 0.7"
    run = tmp_path / "runs" / "00000-digits"
    grid = re.search(r"Grid: (\S+)", result.output)[1]
    assert Image.open(tmp_path / grid).size == (498, 498)
    assert [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()] == [0, 0, 2, 2]

    result = call("train", "--resume", "latest", "--kimg", "0.024", "--threads", "1")
    assert result.exit_code == 0, result.output
    assert "Resuming runs/00000-digits" in result.output
    assert (run / "checkpoint-00000003.safetensors").exists()

    result = call(*lines[-1].removeprefix("Next: gan-fast ").split())
    assert result.exit_code == 0, result.output
    assert "10 images are in runs/00000-digits/generated.png" in result.output

    for arguments, named in [
        (["--outdir", run], "never overwritten"),
        (["--resume", "latest"], "has its 0.024 kimg"),
        (["--resume", "latest", "--gamma", "3"], "gamma: a resumed run keeps"),
        (["--resume", run, "--outdir", "x"], "--resume"),
        (["--resume", "absent"], "absent"),
    ]:
        result = call("train", *arguments)
        assert result.exit_code == 2
        assert named in result.stderr


def test_latest_in_a_folder_starts_it_and_goes_on(call, tmp_path, monkeypatch):
    go = ["train", *SHORT, "--set=eval_samples=0", "--resume", "latest", "--outdir", "mine"]
    assert "Resuming" not in call(*go).output
    assert "has its 0.016 kimg" in call(*go).stderr
    assert "Resuming mine at 0.0 kimg" in call(*go, "--kimg", "0.024").output
    assert "seed: a resumed run keeps" in call(*go, "--seed", "9").stderr
    moved = call("train", *SHORT, "--transfer", "mine", "--set=model={img_resolution=8, channel_base=64, w_dim=8}")
    assert "Not taken over: G.mapping.fc0.weight: [8, 16] there, [8, 72] here" in moved.output


def test_an_objective_of_ones_own(call, tmp_path):
    (tmp_path / "losses.py").write_text("from gan_fast.losses import OBJECTIVES\nmine = OBJECTIVES['hinge']")
    own = ["--objective", "losses.py:mine"]
    assert call("train", *SHORT, "--set=eval_samples=0", *own, "--outdir=run").exit_code == 0
    longer = ["train", "--resume", "run", "--kimg=0.024"]
    assert "--objective losses.py:mine" in call(*longer).stderr
    assert call(*longer, *own).exit_code == 0
    assert 'objective = "losses.py:mine@' in call("train", "--print-config", *own).stdout
    result = call("train", "--objective", "losses.py:other")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_changed_data_are_accepted_if_asked(call, tmp_path):
    for i in range(5):
        (tmp_path / "pictures").mkdir(exist_ok=True)
        Image.new("L", (8, 8), 40 * i).save(tmp_path / "pictures" / f"{i}.png")
    assert call("train", *SHORT, "--data=pictures", "--outdir=mine", "--set=eval_samples=0").exit_code == 0
    (tmp_path / "pictures" / "4.png").unlink()
    go = ["train", "--resume", "mine", "--kimg", "0.024"]
    assert "data: changed since the checkpoint: images (was 5, is 4); accept_data" in call(*go).stderr
    assert call(*go, "--accept-data").exit_code == 0


def test_several_processes_are_started_by_torchrun(call, monkeypatch):
    started = []
    monkeypatch.setattr("sys.argv", ["gan-fast", "train", "--gpus", "3"])
    monkeypatch.setattr("os.execv", lambda path, arguments: started.append(arguments) or exit(0))
    call("train", "--gpus", "3")
    assert started[0][1:] == [
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3"),
        *("-m", "gan_fast", "train", "--gpus", "3"),
    ]
    assert "gama: unknown" in call("train", "--gpus", "3", "--set", "gama=1").stderr
    assert len(started) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--set", "gama=1"], "gama: unknown setting"),
        (["--set", "gama"], "--set: expected KEY=VALUE"),
        (["--config", "absent.toml"], "absent.toml"),
        (["--data", "no/folder"], "no/folder"),
        (["--batch", "-2"], "batch"),
    ],
)
def test_bad_arguments_are_named_and_leave_nothing(call, tmp_path, arguments, named):
    result = call("train", *arguments)
    assert result.exit_code == 2
    assert named in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_nothing_to_resume_or_generate_from(call):
    assert "no run with a checkpoint" in call("train", "--resume", "latest").stderr
    assert "no run with a checkpoint" in call("generate").stderr


def test_the_printed_settings_are_a_settings_file(call, tmp_path):
    printed = call("train", "--print-config", *SHORT, "--seed=4").stdout
    (tmp_path / "settings.toml").write_text(printed)
    assert call("train", "--print-config", "--config", "settings.toml").stdout == printed
    assert "seed = 4 " in printed


def test_doctor_shows_switches_backends_and_the_cache_file(call):
    result = call("doctor")
    assert result.exit_code == 0, result.output
    for found in ("GAN_FAST_AUTOTUNE", "Autotuned", "entries: 0", "upfirdn2d", "taken"):
        assert found in result.output


IN_GROUPS = [f"{name} {c.__name__}" for name, (_, _, commands) in GROUPS.items() for c in commands]


@pytest.mark.parametrize("command", [*(c.__name__ for c in COMMANDS), "bench", *IN_GROUPS])
def test_help_has_examples(call, command):
    result = call(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"gan-fast {command}" in result.output


def test_help_loads_nothing_heavy():
    code = "import sys, gan_fast.cli; print(*{'torch', 'pydantic', 'sklearn', 'triton'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
