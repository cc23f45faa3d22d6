"""Whatever the arguments: each backend matches the float64 reference, and the reference matches SciPy."""

import numpy as np
import pytest
import scipy.signal
import torch
from argument_space import calls, drawing, holds_everywhere
from contract import backends_of, device_of, marks_of, samples_of
from hypothesis import given

from gan_fast import testing

# the interpreter takes a tenth of a second for what the C++ kernels do in a thousandth
EXAMPLES = {"cpu": 150, "triton": 6, "cuda": 200}
PAIRS = [
    pytest.param(op, b, marks=marks_of(b))
    for op in testing.OPS
    for b in backends_of(op)
    if samples_of(op, b) == testing.samples(op)
]


@pytest.mark.parametrize(("op", "backend"), PAIRS)
def test_matches_reference(op: str, backend: str) -> None:
    holds_everywhere(op, backend, EXAMPLES[backend], device_of(backend))


@drawing(150)
@given(calls("upfirdn2d"))
def test_reference_is_scipy_upfirdn(sample: testing.Sample) -> None:
    """scipy.signal.upfirdn of each row and column, or of the zero-inserted plane where the filter is 2-D."""
    x, f, given_ = sample.tensors["x"].numpy(), sample.tensors["f"].numpy(), sample.settings
    (up_x, up_y), (down_x, down_y), p = given_["up"], given_["down"], given_["padding"]
    y = testing.evaluate(sample, "reference", torch.float64, order=0)["y"].numpy()
    f = f if f.ndim == 2 else np.outer(f, f)
    taps = (f[::-1, ::-1] if given_["flip_filter"] else f) * given_["gain"]
    for image, true in zip(x.reshape(-1, *x.shape[2:]), y.reshape(-1, *y.shape[2:]), strict=True):
        # the full convolution of the upsampled rows with each row of the filter, padded or cropped to ours
        full = np.zeros((image.shape[0] * up_y + taps.shape[0] - 1, image.shape[1] * up_x + taps.shape[1] - 1))
        for a, row in enumerate(taps):
            part = scipy.signal.upfirdn(row, image, up=up_x, axis=1)
            full[a : a + image.shape[0] * up_y : up_y, : part.shape[1]] += part
        crop = []
        for size, filter_size, before, after in (
            (full.shape[0], taps.shape[0], p[2], p[3]),
            (full.shape[1], taps.shape[1], p[0], p[1]),
        ):
            first = filter_size - 1 - before
            crop.append((first, size - (filter_size - 1) + after))
        margins = [(max(-first, 0), max(last - n, 0)) for (first, last), n in zip(crop, full.shape, strict=True)]
        padded = np.pad(full, margins)
        rows, columns = (slice(max(first, 0), last + max(-first, 0)) for first, last in crop)
        np.testing.assert_allclose(padded[rows, columns][::down_y, ::down_x], true, rtol=0, atol=1e-12)
