"""No page says in its prose what was measured: such figures stand in tables that are made of files."""

import re
from pathlib import Path

import pytest

from gan_fast.benchmarks.table import BLOCK

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("claims.md",)  # is written whole by `gan-fast claims`, and names device and date
PAGES = sorted(
    str(p.relative_to(ROOT)) for p in (ROOT / "README.md", *ROOT.glob("docs/*.md")) if p.name not in LEFT_OUT
)

UNITS = (
    *("ns", "us", "ms", "s", "s/kimg", "min", "seconds?", "minutes?", "hours?", "x", "times", "dB", "%", "per cent"),
    *("[kMG]i?B", "[GT]B/s", "[GT]FLOPs?", "[GT]FLOP/s"),
)
WORDS = "two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|forty|fifty|half an?|quarter of an?"
MEASURED = re.compile(
    rf"(?<![\w.-])\d+(?:[.,]\d+)?[ -]?(?:{'|'.join(UNITS)})(?![\w/])"
    rf"|\b(?:{WORDS}) (?:milli|micro)?(?:second|minute|hour)s?\b"
    r"|\b(?:FD_\w+|precision|recall|coverage|accuracy)`?(?: (?:of|is|at|from|has|are|was))? (?:\d*\.)?\d+",
)
LIMIT, PAPER, ALGORITHM = "a limit that the code has", "of the paper that is named", "follows from the algorithm"
ALLOWED = {
    "docs/architecture.md": {
        "or 4 times (4x4)": ALGORITHM,
        "beats its median by 3 %": LIMIT,
    },
    "docs/benchmarks.md": {
        "comes with the 95 % interval": "how it is counted",
        "changed by more than 3 % and": LIMIT,
        "Student's t at 99.9 %": LIMIT,
        "the 95 % intervals of both": "how it is counted",
        "plain PyTorch; 10 %": LIMIT,
        "where files differ by 15 %, a slow-down of 10 %": "an example",
        "19 times as": PAPER,
        "21 and 36 times for up 4": PAPER,
        "33 and 39 times for": PAPER,
    },
    "docs/data.md": {"Up to 1 GiB of pixels": LIMIT},
    "docs/metrics.md": {"over 3 % of the images": LIMIT, "outer 1 % on each side": LIMIT},
    "docs/models.md": {"63.0 and 66.7 dB": PAPER},
    "docs/training.md": {"`path_length_decay` = 1 %": LIMIT},
    "docs/verification.md": {"in ten minutes": LIMIT, "ten seconds) and printed": LIMIT},
}


def measured(text: str, allowed: dict[str, str]) -> list[str]:
    """Figures that look measured, outside of tables that are made of files and of code."""
    text = re.sub(r"```.*?```", "", BLOCK.sub("", text), flags=re.DOTALL)
    for known in allowed:
        text = text.replace(known, "")
    return [found[0] for found in MEASURED.finditer(text)]


@pytest.mark.parametrize("page", PAGES)
def test_what_was_measured_stands_in_tables(page: str) -> None:
    text, allowed = (ROOT / page).read_text(), ALLOWED.get(page, {})
    assert [known for known in allowed if known not in text] == []  # no exception outlives its line
    assert measured(text, allowed) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It takes 17 seconds and 3.0 MB, or two minutes.", ["17 seconds", "3.0 MB", "two minutes"]),
        ("1.27x, 3.2 s/kimg, 4194 GB/s, 98 % right", ["1.27x", "3.2 s/kimg", "4194 GB/s", "98 %"]),
        ("FD_digits 0.98, recall .718, precision of .35", ["FD_digits 0.98", "recall .718", "precision of .35"]),
        ("images of 16x16, 48 kimg, Python 3.11, 1812.04948, seeds 0, 1 and 2, a batch of 32", []),
        ("<!-- phases: x -->\n2 ms\n<!-- end -->\n```\n3 ms\n```\n", []),
    ],
)
def test_what_looks_measured(text: str, found: list[str]) -> None:
    assert measured(text, {}) == found
