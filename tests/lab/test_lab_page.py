"""The offline page of recorded games, in a browser."""

import pytest

from gan_fast.explorer.page import make_page
from gan_fast.lab import Settings
from gan_fast.lab.recording import PAGE_WIDTH, make_panel, record

PAINTED = """() => {
    const canvas = document.querySelector("section:not([hidden]) canvas");
    return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data].join();
}"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    done = []
    games = {name: record(Settings(objective=name), 20, 2, done.append) for name in ("logistic", "hinge")}
    assert done == [0, 10, 20] * 2
    path = tmp_path_factory.mktemp("lab") / "lab.html"
    path.write_text(make_page([make_panel(games, 20)], "The lab", "Two games", largest=PAGE_WIDTH))
    return path


def painted(page, other_than=()):
    for _ in range(1500):
        pixels = page.evaluate(PAINTED)
        if pixels.strip("0,") and pixels not in other_than:
            return pixels
        page.wait_for_timeout(20)
    raise AssertionError("waited for half a minute")


def test_an_objective_and_the_slider_change_the_picture(page, file):
    page.goto(file.as_uri())
    seen = [painted(page)]
    assert page.locator("output").last.inner_text() == "20"
    page.get_by_role("button", name="hinge").click()
    seen.append(painted(page, seen))
    slider = page.get_by_role("slider", name="Step")
    slider.fill("0")
    assert page.locator("output").last.inner_text() == "0"
    seen.append(painted(page, seen))
    slider.press("ArrowRight")
    seen.append(painted(page, seen))
    assert page.requested[0] == file.as_uri()
    assert all(url.startswith("data:") for url in page.requested[1:])


def test_frames_that_do_not_divide_the_steps_are_named():
    with pytest.raises(ValueError, match="steps: got 10, takes a multiple of the 3 frames"):
        record(Settings(), 10, 3)
