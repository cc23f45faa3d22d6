"""The contract that every op is held to, on every backend; for ops of your own too.

    for sample in samples("bias_act"):
        assert_matches_reference(sample, backend="cpu", dtype=torch.float32)

`gan-fast verify` and tests/ops/test_contract.py are made of these.
"""

from gan_fast.testing.contract import (
    FULL_PRECISION,
    ORDERS,
    ROUTES,
    Check,
    Run,
    assert_matches_reference,
    check,
    evaluate,
    plan,
    registered_route,
    verify,
)
from gan_fast.testing.sample import LAYOUTS, Sample
from gan_fast.testing.samples import OPS, parts_of, samples

__all__ = [
    "FULL_PRECISION",
    "LAYOUTS",
    "OPS",
    "ORDERS",
    "ROUTES",
    "Check",
    "Run",
    "Sample",
    "assert_matches_reference",
    "check",
    "evaluate",
    "parts_of",
    "plan",
    "registered_route",
    "samples",
    "verify",
]
