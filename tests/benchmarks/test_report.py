"""The report, in a browser: it draws, sorts, filters, and asks for nothing but its own file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gan_fast.benchmarks import report
from gan_fast.benchmarks.record import Results

CHROMIUM = Path("/usr/bin/chromium")


def test_report_in_a_browser(make_results: Callable[..., Results], tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    runs = [make_results(seed) for seed in range(3)]
    refused = replace(runs[2].rows[0], refused={"theirs": "error 3 > 1 & <b>"})
    results = replace(runs[2], rows=[refused, *runs[2].rows[1:]])
    path = tmp_path / "report.html"
    path.write_text(report.page(results, runs[:2]))
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        requests: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(path.as_uri())
        page.screenshot(path=tmp_path / "report.png", full_page=True)
        assert page.locator("svg").count() == 4  # ratios, roofline, phases, history
        assert page.locator("tbody tr").count() == len(results.rows)
        page.get_by_role("columnheader", name="eager").click()
        ratios = page.eval_on_selector_all("tbody tr", "rows => rows.map(r => Number(r.cells[6].dataset.value))")
        assert ratios == sorted(ratios)
        assert ratios[0] == 1.5
        page.locator("#filter").fill("bias_act second")
        assert page.locator("tbody tr:visible").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
    assert requests == [path.as_uri()]
    assert not errors
    assert (tmp_path / "report.png").stat().st_size > 50_000


def test_a_report_of_little_is_a_report(make_results: Callable[..., Results]) -> None:
    results = make_results(0)
    phases = replace(results, rows=results.rows[-1:])
    assert report.page(phases).count("<svg") == 1
