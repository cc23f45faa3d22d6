"""Hypothesis draws from the ops' argument spaces: its choices stand for those of a seed, so that it shrinks them."""

import math
from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from gan_fast import testing


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
