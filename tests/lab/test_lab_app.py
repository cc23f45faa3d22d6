"""`gan-fast lab` in a process of its own, driven through a browser."""

import pytest


@pytest.fixture(scope="module")
def opened(served):
    with served("lab", "--objective", "hinge", "--mixture", "grid") as page:
        page.locator(".gf-lab").wait_for()
        yield page


def act(page, action) -> str:
    """What the picture says after an action that changes it; the picture changes, too."""
    picture = page.locator(".gf-lab")
    before = picture.get_attribute("src")
    action()
    for _ in range(3000):
        if picture.get_attribute("src") != before:
            return picture.get_attribute("alt")
        page.wait_for_timeout(20)
    raise AssertionError("waited for a minute")


def press(page, name):
    return lambda: page.get_by_role("button", name=name, exact=True).click()


def test_the_game_begins_as_the_command_says(opened):
    assert opened.get_by_label("grid", exact=True).is_checked()
    objective = opened.get_by_label("Objective")
    assert objective.input_value() == "hinge"
    assert objective.evaluate("input => getComputedStyle(input).opacity") == "1"


def test_step_moves_the_points_and_reset_puts_them_back(opened):
    start = opened.locator(".gf-lab").get_attribute("src")
    assert act(opened, press(opened, "Step")).startswith("Step 5: ")
    assert act(opened, press(opened, "Step")).startswith("Step 10: ")
    assert act(opened, press(opened, "Reset")).startswith("Step 0: ")
    assert opened.locator(".gf-lab").get_attribute("src") == start


def test_an_objective_and_a_mixture_chosen_change_the_picture_and_not_the_step(opened):
    act(opened, press(opened, "Step"))
    opened.get_by_label("Objective").click()
    assert act(opened, lambda: opened.get_by_role("option", name="logistic").click()).startswith("Step 5: ")
    assert act(opened, lambda: opened.get_by_label("ring", exact=True).click()).startswith("Step 5: ")
    assert act(opened, press(opened, "Step")).startswith("Step 10: ")


def test_what_cannot_be_played_is_said(opened):
    opened.get_by_label("Objective").click()
    act(opened, lambda: opened.get_by_role("option", name="ebgan").click())
    opened.get_by_label("on", exact=True).click()
    opened.get_by_text("minibatch_discrimination: ebgan's D is an autoencoder").wait_for()
    opened.get_by_label("off", exact=True).click()


def test_play_goes_on_by_itself_until_it_is_stopped(opened):
    act(opened, press(opened, "▶ Play"))
    act(opened, lambda: None)
    opened.get_by_role("button", name="Stop").click()
    opened.get_by_role("button", name="Play").wait_for()
