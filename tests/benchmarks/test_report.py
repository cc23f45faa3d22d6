"""The report, in a browser: it draws, sorts, filters, and asks for nothing but its own file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gan_fast.benchmarks import report
from gan_fast.benchmarks.record import Results


def test_report_in_a_browser(make_results: Callable[..., Results], tmp_path: Path, page) -> None:
    runs = [make_results(seed) for seed in range(3)]
    refused = replace(runs[2].rows[0], refused={"theirs": "error 3 > 1 & <b>"})
    results = replace(runs[2], rows=[refused, *runs[2].rows[1:]])
    path = tmp_path / "report.html"
    path.write_text(report.page(results, runs[:2]))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
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
    assert page.requested == [path.as_uri()]
    assert not said
    assert (tmp_path / "report.png").stat().st_size > 50_000


def test_a_report_of_little_is_a_report(make_results: Callable[..., Results]) -> None:
    results = make_results(0)
    phases = replace(results, rows=results.rows[-1:])
    assert report.page(phases).count("<svg") == 1
