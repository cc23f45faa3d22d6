"""Whatever the arguments: Hypothesis draws from the ops' argument spaces.

Its choices stand for those of a seed, so that it shrinks them.
"""

import math
from dataclasses import replace

import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gan_fast import testing
from gan_fast.ops import backends

SPREADING = ("conv2d", "modulated_conv2d")  # Winograd's transforms spread a NaN over its whole tile
CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@st.composite
def calls(draw: st.DrawFn, op: str) -> testing.Sample:
    try:
        return testing.draw(op, draw(st.randoms(use_true_random=False)))
    except testing.NoSample:
        assume(False)


@st.composite
def not_finite(draw: st.DrawFn, op: str) -> testing.Sample:
    """A sample with a NaN or an infinity somewhere in its first tensor."""
    sample = draw(calls(op))
    name = sample.differentiable[0]
    x = sample.tensors[name]
    assume(x.numel() > 0)
    value = draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    at = draw(st.integers(0, x.numel() - 1))
    x = x.contiguous().clone()
    x.view(-1)[at] = value
    return replace(sample, tensors=sample.tensors | {name: testing.LAYOUTS[sample.layout](x)})


def drawing(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=CHECKS)


def holds_everywhere(op: str, backend: str, examples: int, device: torch.device | str = "cpu") -> None:
    """Values and both orders of gradients; values where x holds a NaN or an infinity."""

    @drawing(examples)
    @given(calls(op), st.sampled_from(backends.BACKENDS[backend].dtypes()))
    def finite(sample: testing.Sample, dtype: torch.dtype) -> None:
        assume(testing.judges(sample, dtype))
        testing.assert_matches_reference(sample, backend, dtype, device)

    @drawing(examples // 2)
    @given(not_finite(op), st.sampled_from([torch.float32, torch.float64]))
    def any_value(sample: testing.Sample, dtype: torch.dtype) -> None:
        testing.assert_matches_reference(sample, backend, dtype, device, order=0)

    finite()
    if op not in SPREADING:
        any_value()
