"""The offline page, as a file in a browser. Its panels are made here, so that their images are known."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from gan_fast.explorer import Panel
from gan_fast.explorer.page import LARGEST_TILE, count_points, make_page
from gan_fast.explorer.panels import Choice, Slider

SIDE = 8
PAINTED = """[...document.querySelectorAll("section:not([hidden]) canvas")].map(
    canvas => [...canvas.getContext("2d").getImageData(0, 0, 1, 1).data])"""


def shade(value: float) -> torch.Tensor:
    """An image whose bytes are all `value`."""
    return torch.full((1, SIDE, SIDE), value / 127.5 - 1)


def panel(title: str, offset: int) -> Panel:
    """Two images: which option, and the sum of option and slider."""
    controls = (
        Choice("Colour", ("dark", "light", "absent"), 1, (0, 1)),
        Slider("Amount", 0, 30, 1, 11, (0, 10, 20, 30), loops=title == "Loop"),
    )

    def draw(points):
        assert len(points) <= 256
        return torch.stack([torch.stack([shade(offset + 100 * a), shade(offset + 100 * a + b)]) for a, b in points])

    return Panel(title, "What it <b>shows</b> & why", controls, ("Option", "Sum"), draw)


def painted(page) -> list[int]:
    """The grey of each visible image; its red, green, blue and opacity are looked at."""
    pixels = np.array(page.evaluate(PAINTED))
    assert (pixels[:, :3] == pixels[:, :1]).all()
    return np.where(pixels[:, 3] == 255, pixels[:, 0], -1).tolist()


def wait_until(page, condition) -> None:
    """Playwright's own waiting evaluates text in the page, which the page forbids."""
    for _ in range(3000):
        if condition():
            return
        page.wait_for_timeout(20)
    raise AssertionError("waited for a minute")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    panels = [panel("First", 0), panel("Loop", 5)]
    done = []
    text = make_page(panels, "A </script> run", "with <i>marks</i>", done.append)
    assert done == [8, 16]
    assert count_points(panels) == 16
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    path.write_text(text)
    return path


@pytest.fixture
def opened(page, file):
    page.goto(file.as_uri())
    wait_until(page, lambda: painted(page) == [100, 110])
    return page


def test_controls_start_nearest_to_where_they_should_and_change_the_images(opened):
    assert painted(opened) == [100, 110]
    slider = opened.get_by_role("slider", name="Amount").first
    slider.fill("3")
    assert painted(opened) == [100, 130]
    assert opened.locator("output:visible").last.inner_text() == "30"
    opened.get_by_role("button", name="dark").first.click()
    assert painted(opened) == [0, 30]
    slider.press("ArrowLeft")
    assert painted(opened) == [0, 20]
    assert not opened.get_by_role("button", name="absent").count(), "options that no image was drawn for"


def test_tabs_show_one_panel_each_and_text_is_text(opened):
    opened.get_by_role("tab", name="Loop").click()
    assert painted(opened) == [105, 115]
    assert opened.locator("section:visible").count() == 1
    assert opened.get_by_role("heading").inner_text() == opened.title() == "A </script> run"
    assert opened.locator("header p").inner_text() == "with <i>marks</i>"
    assert opened.locator("section:visible > p").inner_text() == "What it <b>shows</b> & why"


def test_play_runs_through_the_slider_and_stops(opened):
    opened.get_by_role("tab", name="Loop").click()
    section = opened.locator("section:visible")
    section.get_by_role("button", name="Play").click()
    seen = set()
    wait_until(opened, lambda: seen.add(painted(opened)[1]) or seen == {105, 115, 125, 135})
    section.get_by_role("button", name="Stop").click()
    at = painted(opened)
    opened.wait_for_timeout(300)
    assert painted(opened) == at


def test_the_file_asks_nothing_of_anything(opened, file):
    assert opened.requested[0] == file.as_uri()
    assert all(url.startswith("data:") for url in opened.requested[1:])
    for tried in ("fetch('http://127.0.0.1:9/')", "fetch('https://example.org/')"):
        assert opened.evaluate(f"{tried}.then(() => 'let through', () => 'refused')") == "refused"


def flat(values: Sequence[int]) -> Panel:
    def draw(points):
        return torch.stack([shade(value).expand(3, -1, -1) for (value,) in points])[:, None]

    return Panel("Flat", "", (Slider("Shade", 0, 255, 1, 0, tuple(values)),), ("Image",), draw)


def test_equal_images_are_kept_once():
    columns = [
        re.search(r'"columns":(\d+)', make_page([flat(values)], "", ""))[1] for values in (range(100), [7] * 100)
    ]
    assert columns == ["10", "1"]


def test_many_options_become_a_list(page, tmp_path):
    options = tuple(f"the option with number {i}" for i in range(5))
    controls = (Choice("Which", options, 0, (0, 1, 2)),)
    many = Panel("Many", "", controls, ("Image",), lambda points: torch.stack([shade(50 * a)[None] for (a,) in points]))
    file = tmp_path / "many.html"
    file.write_text(make_page([many], "", ""))
    page.goto(file.as_uri())
    page.get_by_role("combobox", name="Which").select_option("the option with number 2")
    wait_until(page, lambda: painted(page) == [100])


def test_large_images_are_shrunk():
    controls = (Slider("At", 0, 1, 1, 0, (0,)),)
    large = Panel("Large", "", controls, ("Image",), lambda points: torch.zeros(1, 1, 3, 512, 256))
    assert f'"tile":[{LARGEST_TILE // 2},{LARGEST_TILE}]' in make_page([large], "", "")
