"""The contract that every op is held to, on every backend; for ops of your own too.

    for sample in samples("bias_act"):
        assert_matches_reference(sample, backend="cpu", dtype=torch.float32)

`gan-fast verify` and tests/ops/test_contract.py are made of these.
"""

from gan_fast.testing.contract import (
    ASPECTS,
    FULL_PRECISION,
    ORDERS,
    ROUTES,
    Check,
    Run,
    assert_matches_reference,
    assert_verified,
    can_check_gradients,
    check,
    check_equal_bits,
    check_gradients,
    evaluate,
    judges,
    load,
    name_of,
    plan,
    plan_against,
    registered_route,
    verify,
)
from gan_fast.testing.reproducer import shrink, snippet
from gan_fast.testing.sample import LAYOUTS, NoSample, Sample, randn
from gan_fast.testing.samples import OPS, draw, parts_of, samples

__all__ = [
    "ASPECTS",
    "FULL_PRECISION",
    "LAYOUTS",
    "OPS",
    "ORDERS",
    "ROUTES",
    "Check",
    "NoSample",
    "Run",
    "Sample",
    "assert_matches_reference",
    "assert_verified",
    "can_check_gradients",
    "check",
    "check_equal_bits",
    "check_gradients",
    "draw",
    "evaluate",
    "judges",
    "load",
    "name_of",
    "parts_of",
    "plan",
    "plan_against",
    "randn",
    "registered_route",
    "samples",
    "shrink",
    "snippet",
    "verify",
]
