"""What every claim has; the tests that the page names; and claims that take no time, as they are."""

import ast
import math
from pathlib import Path

import pytest

from gan_fast.claims import CLAIMS, THEMES
from gan_fast.claims.run import seeds_of
from gan_fast.claims.shown import SHOWN

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_says_what_it_claims_expects_and_does(claim):
    assert claim.sentence.endswith(".")
    assert claim.source
    assert len(claim.how) > 60
    assert any(math.isfinite(f.at_least) or math.isfinite(f.at_most) for f in claim.figures)
    names = [figure.name for figure in claim.figures]
    assert len(names) == len(set(names))
    assert len(seeds_of(claim, 3)) == 3 or claim.once


def test_names_are_unique():
    assert len(CLAIMS) == sum(map(len, THEMES.values()))


@pytest.mark.parametrize(("what", "test"), SHOWN)
def test_tests_that_are_named_are_there(what, test):
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
