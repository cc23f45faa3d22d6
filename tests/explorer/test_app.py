"""The command itself, in a process of its own, driven through a browser; neither may ask another machine anything."""

import base64
import io

import pytest
import torch
from PIL import Image

from gan_fast.training import load_generator, sample


def pictures(page) -> list[str]:
    return page.locator(".gf-images:visible img").evaluate_all("found => found.map(image => image.src)")


def wait_for_change(page, before: list[str]) -> list[str]:
    for _ in range(3000):
        now = pictures(page)
        if now and now != before:
            return now
        page.wait_for_timeout(20)
    raise AssertionError("waited for a minute")


@pytest.fixture(scope="module")
def opened(served, untrained_run):
    """One page for all tests: loading it is what takes time."""
    with served("explore", untrained_run) as page:
        page.get_by_role("tab", name="Latent walk").wait_for()
        yield page


def move(page, label: str, value: float) -> list[str]:
    before = pictures(page)
    page.locator(f"input[type=range][aria-label*='{label}']:visible").fill(str(value))
    return wait_for_change(page, before)


@pytest.mark.parametrize(
    ("tab", "label", "value", "changed"),
    [
        ("Latent walk", "Position", 30, [True]),
        ("Truncation", "Truncation psi", 1.2, [False, False, True]),
        ("Style mixing", "Image B", 5, [False, True, True]),
        ("Directions (SeFa)", "Direction 2", 3, [False, True]),
        ("Arithmetic", "Seed", 7, [True, False, False, True]),
        ("Between classes", "Share of the second", 0.8, [False, False, True]),
        ("Noise", "Seed", 4, [True, True, True]),
    ],
)
def test_a_slider_moved_changes_the_images_that_it_should(opened, tab, label, value, changed):
    opened.get_by_role("tab", name=tab).click()
    before = pictures(opened)
    after = move(opened, label, value)
    assert [a != b for a, b in zip(after, before, strict=True)] == changed


def test_a_class_chosen_changes_the_image(opened):
    opened.get_by_role("tab", name="Latent walk").click()
    before = pictures(opened)
    opened.get_by_label("7", exact=True).locator("visible=true").click()
    wait_for_change(opened, before)


def test_play_shows_the_walk_until_a_slider_moves(opened):
    opened.get_by_role("tab", name="Latent walk").click()
    before = pictures(opened)
    opened.get_by_role("button", name="Play").locator("visible=true").click()
    (film,) = wait_for_change(opened, before)
    kind, _, data = film.partition(",")
    assert kind == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as frames:
        assert 50 <= frames.n_frames <= 60
    (still,) = move(opened, "Position", 41)
    assert still.startswith("data:image/png")


def test_an_uploaded_image_is_projected(opened, untrained_run, tmp_path):
    own = sample.draw(load_generator(untrained_run)[0], [3], torch.tensor([6]))
    sample.save_png(sample.grid(own, 1), tmp_path / "own.png")
    opened.get_by_role("tab", name="Projection").click()
    opened.get_by_role("button", name="Project").click()
    opened.get_by_text("Choose an image first").wait_for()
    opened.locator("input[type=file]").set_input_files(tmp_path / "own.png")
    steps = opened.locator("input[type=range][aria-label*='Steps']:visible")
    steps.fill("20")
    opened.get_by_role("button", name="Remove Image").or_(opened.get_by_label("Clear")).first.wait_for()
    opened.get_by_role("button", name="Project", exact=True).click()
    caption = opened.get_by_text("Found: distance")
    caption.wait_for()
    start, end = (float(number) for number in caption.inner_text().removeprefix("Found: distance ").split(" → "))
    assert end < start
    image, search, found = pictures(opened)
    assert search.startswith("data:image/webp")
    assert image != found
