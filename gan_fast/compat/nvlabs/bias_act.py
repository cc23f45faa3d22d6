"""`torch_utils.ops.bias_act`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gan_fast import ops
from gan_fast.compat.arguments import backend_of, number
from gan_fast.compat.nvlabs.dnnlib import EasyDict
from gan_fast.ops.bias_act import ACTIVATIONS


def _entry(index: int, name: str) -> EasyDict:
    activation = ACTIVATIONS[name]
    alpha = activation.alpha or 0

    def func(x: Tensor, alpha: float = alpha, **_: Any) -> Tensor:
        return activation.function(x, alpha)

    ref = {"linear": "", "swish": "x"}.get(name, "y")
    return EasyDict(
        func=func, def_alpha=alpha, def_gain=activation.gain, cuda_idx=index, ref=ref, has_2nd_grad=activation.smooth
    )


# networks read def_gain; ref says what the gradient is computed from
activation_funcs = {name: _entry(index, name) for index, name in enumerate(ACTIVATIONS, 1)}


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
    impl: str = "cuda",
) -> Tensor:
    """`gan_fast.ops.bias_act`; alpha says nothing to activations that have none."""
    if act in ACTIVATIONS and ACTIVATIONS[act].alpha is None:
        alpha = None
    return ops.bias_act(x, b, dim, act, number(alpha), number(gain), number(clamp), backend=backend_of(impl))


def _init() -> bool:
    """Nothing has to be compiled."""
    return True
