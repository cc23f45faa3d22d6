"""The report of a run as a file in a browser, and what it makes of a log."""

import json
import re

import numpy as np
import pytest
import torch

from gan_fast.training import Trainer, report, sample, stats


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run that was made up: a collapse, in 300 lines of log and 30 evaluations."""
    folder = tmp_path_factory.mktemp("runs") / "00000-<made-up>"
    folder.mkdir()
    data = {"source": "made up", "images": 9, "classes": {}}
    stats.append(folder, {"kind": "data", "step": 0, "kimg": 0.0, "data": data})
    halves = {"samples": 9, "fd_filters": 0.5, "kd_filters": 0.0, "recall": 0.9, "coverage": 0.95}
    protocol = {"features": "filters", "revision": 1, "width": 240, "resize": "to 64x64", "reference": "9 images"}
    for line in range(1, 301):
        progress = {"Gmain": 1 + line / 300, "Dmain": 1.0, "r_t": line / 300, "f_t": -line / 300, "Gmain_gradient": 0.1}
        progress |= {"phase_ms": {"data": 1.0, "Gmain": 3.0, "Dmain": 6.0}, "step_ms": [10.0] * 19 + [30.0]}
        progress |= {"seconds_per_kimg": 1.0, "data_wait": 0.1, "memory_mib": 500.0, "Gmain_lag1": None}
        progress |= {"nonfinite_gradients": 7, "began_m": 1 / line, "real_energy": 0.1}
        stats.append(folder, {"kind": "progress", "step": 20 * line, "kimg": 0.2 * line, **progress})
        if line % 10 == 0:
            grid = f"fakes-{20 * line:08d}.png"
            sample.save_png(sample.grid(torch.full((4, 3, 8, 8), line / 300), 2), folder / grid)
            scores = {
                "samples": 9,
                "fd_filters": 900 / line,
                "kd_filters": -1.0,
                "recall": 1 - line / 300,
                "coverage": 0.38,
            }
            if line == 20:
                scores = {"metric_error": "ValueError: <no>"}
            else:
                scores |= {"protocol": protocol, "real_halves": halves}
            stats.append(folder, {"kind": "evaluation", "step": 20 * line, "kimg": 0.2 * line, "grid": grid, **scores})
    return folder


def test_the_page_shows_curves_and_grids_and_asks_nothing(page, run):
    path = report.write_report(run)
    page.goto(path.as_uri())
    assert page.get_by_role("heading", level=1).inner_text() == "00000-<made-up>"
    for name in ("Frechet distance", "Variety", "D's accuracy", "Gradient norms", "Losses", "Time of a step", "Memory"):
        assert page.get_by_role("img", name=name, exact=True).locator("polyline").count(), name
    page.set_viewport_size({"width": 1280, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    grid = page.get_by_alt_text("generated images")
    assert grid.evaluate("image => image.naturalWidth") == sample.grid(torch.zeros(4, 3, 8, 8), 2).width
    last = grid.get_attribute("src")
    page.get_by_role("slider").press("Home")
    assert page.locator("output").inner_text() == "2 kimg"
    assert grid.get_attribute("src") != last
    page.get_by_role("slider").press("End")
    assert grid.get_attribute("src") == last
    page.get_by_role("button").click()
    page.wait_for_timeout(700)
    assert page.locator("output").inner_text() != "60 kimg"
    assert page.requested[0] == path.as_uri()
    assert all(url.startswith("data:") for url in page.requested[1:])


def test_what_the_report_says(run):
    text = report.write_report(run).read_text()
    for said in (
        "60 kimg, 6000 steps. made up: 9 images.",
        "Coverage is 40% of what real images get",
        "Recall is 0% of what real images get; its peak was 0.97 at 2 kimg.",
        "were replaced: 7.",
        "<h3>BEGAN's M</h3>",
        "<h3>Energies</h3>",
        "Failed 1 times, last: ValueError: &lt;no&gt;",
        "10.0 ms</b><span>a step, median; 90 %: 10.0, 99 %: 30.0",
        "6.00 ms, 60%",
        "against 9 images; resized: to 64x64",
    ):
        assert said in text, said
    assert "Asked-for class drawn" not in text
    assert "http://" not in text
    frames = json.loads(re.search(r'id="frames">(.*?)</script>', text)[1])
    assert len(frames) == report.GRIDS
    assert (frames[0]["kimg"], frames[-1]["kimg"]) == ("2 kimg", "60 kimg")


def test_movement_is_the_change_between_grids():
    from PIL import Image

    black, grey = Image.new("L", (4, 4)), Image.new("L", (4, 4), 51)
    (first, moved), (second, still) = report._movement([(0, black), (1, grey), (2, grey)])
    assert (first, second, still) == (1, 2, 0.0)
    assert moved == pytest.approx(0.2)


def test_autocorrelation():
    noise = np.random.default_rng(0).normal(size=400)
    assert abs(stats.autocorrelation(list(noise))) < 0.15
    assert stats.autocorrelation(list(np.cumsum(noise))) > 0.9
    assert stats.autocorrelation([1.0, -1.0] * 50) < -0.9
    assert stats.autocorrelation([2.0, 2.0]) is None
    assert stats.autocorrelation([]) is None


def test_a_run_leaves_a_report_of_what_it_logged(tiny, tmp_path):
    Trainer(tiny(kimg=0.032), tmp_path / "r").run()
    progress = next(r for r in stats.read(tmp_path / "r") if r["kind"] == "progress")
    assert len(progress["step_ms"]) == 4
    assert set(progress["phase_ms"]) == {"data", "Gmain", "Dmain", "Dreg", "averages"}
    assert sum(progress["phase_ms"].values()) == pytest.approx(np.mean(progress["step_ms"]), rel=1e-3)
    assert -1 <= progress["r_t"] <= 1
    assert min(progress[f"{name}_gradient"] for name in ("Gmain", "Dmain", "Dreg")) > 0
    assert progress["memory_mib"] > 10
    text = (tmp_path / "r" / "report.html").read_text()
    assert "Gradient norms" in text
    assert "Frechet" not in text
    with pytest.raises(ValueError, match="holds no log"):
        report.write_report(tmp_path)
