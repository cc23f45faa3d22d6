import json

import pytest
import torch

from gan_fast.training import sample


def test_the_values_of_a_run(call, untrained_run, tmp_path):
    result = call("metrics", untrained_run, "--out", "new/metrics.json")
    assert result.exit_code == 0, result.output
    record = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert (record["generator"], record["data"], record["samples"]) == ("step 1 of 00000-digits", "digits", 896)
    assert record["fd_digits"] > 5 * record["real_halves"]["fd_digits"]
    assert record["protocol"]["revision"] == 1
    assert f"{record['fd_digits']:.3f}" in result.output
    assert "real halves" in result.output
    assert result.output.splitlines()[-1] == f"Next: gan-fast explore {untrained_run} --html explorer.html"


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(16):
        image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(i)) * 2 - 1
        sample.save_png(sample.grid(image, 1, min_side=8), folder / f"{i}.png")
    return folder


def test_other_images_and_a_detector(call, untrained_run, pictures, tmp_path):
    torch.jit.trace(lambda x: x.float().mean(1), torch.zeros(2, 3, 8, 8)).save(str(tmp_path / "rows.pt"))
    torch.jit.trace(lambda x: x.mean(1), torch.zeros(2, 3, 8, 8)).save(str(tmp_path / "eye.pt"))
    options = ["--data", pictures, "--samples", 8, "--out", "metrics.json"]
    for more, space, width in (
        ([], "filters", 240),
        (["--detector", "rows.pt", "--whole", "--ppl", 8, "--perceptual", "eye.pt"], "rows", 64),
    ):
        result = call("metrics", untrained_run, *options, *more)
        assert result.exit_code == 0, result.output
        record = json.loads((tmp_path / "metrics.json").read_text())
        assert record["samples"] == record["real_halves"]["samples"] == 8
        assert ("ppl_eye" in record) == ("8 pairs" in record["protocol"].get("ppl", "")) == (space == "rows")
        assert (record["protocol"]["features"], record["protocol"]["width"]) == (space, width)
        assert record[f"fd_{space}"] > 0
    assert record["ppl_eye"] > 0
    assert f"PPL_eye: {record['ppl_eye']:.4g}" in result.output
    assert record["protocol"]["reference"] == "16 of 16 images"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--data", "absent"], "absent"),
        (["--samples", "2"], "--samples"),
        (["--detector", "absent.pt"], "absent.pt is no TorchScript file"),
        (["--data", "photos"], "channels: the photos have 3"),
        (["--is"], "--is, --whole: published protocols, which take a --detector"),
        (["--ppl", "4", "--perceptual", "absent.pt"], "perceptual: absent.pt is no TorchScript file"),
    ],
)
def test_bad_arguments_are_named(call, untrained_run, arguments, named):
    result = call("metrics", untrained_run, *arguments)
    assert result.exit_code == 2
    assert named in result.stderr


def test_a_report_is_written_where_asked(call, untrained_run, tmp_path):
    result = call("report", untrained_run, "--out", "new/run.html")
    assert result.exit_code == 0, result.output
    assert "digits: 1442 images in 10 classes." in (tmp_path / "new" / "run.html").read_text()
    assert result.output.splitlines()[-1].startswith("Next: ")
    assert "holds no log.jsonl" in call("report", tmp_path).stderr
