"""A bad argument is refused by name, with what came and what is allowed, and nothing is touched."""

import pytest
import torch
from contract import backends_of, device_of

from gan_fast import ops

X = torch.randn(2, 3, 8, 8)
W = torch.randn(4, 3, 3, 3)
S = torch.randn(2, 3)
F = torch.ones(4, 4)
G = torch.zeros(2, 4, 4, 2)

BAD = [
    (ops.bias_act, {"x": 3}, "x: got int, takes a torch.Tensor"),
    (ops.bias_act, {"x": X.long()}, "x: got torch.int64, takes float32, float64, float16 or bfloat16"),
    (ops.bias_act, {"x": X, "act": "mish"}, "act: got 'mish', takes linear, relu, lrelu"),
    (ops.bias_act, {"x": X, "dim": 4}, "dim: got 4, takes -4 to 3"),
    (ops.bias_act, {"x": X, "b": torch.ones(4)}, "b: got 4 elements, takes 3"),
    (ops.bias_act, {"x": X, "b": torch.ones(3, 1)}, "b: got 2 dimensions"),
    (ops.bias_act, {"x": X, "b": [0, 0, 0]}, "b: got list, takes a torch.Tensor"),
    (ops.bias_act, {"x": X, "clamp": -1}, "clamp: got -1"),
    (ops.bias_act, {"x": X, "clamp": float("nan")}, "clamp: got nan, takes a finite number"),
    (ops.bias_act, {"x": X, "gain": "2"}, "gain: got '2', takes a number"),
    (ops.bias_act, {"x": X, "alpha": 0.1, "act": "tanh"}, "alpha: got 0.1, but act='tanh' takes none"),
    (ops.upfirdn2d, {"x": X[0], "f": F}, "x: got 3 dimensions"),
    (ops.upfirdn2d, {"x": X, "f": torch.ones(2, 2, 2)}, r"f: got shape \(2, 2, 2\)"),
    (ops.upfirdn2d, {"x": X, "f": torch.ones(0)}, r"f: got shape \(0,\)"),
    (ops.upfirdn2d, {"x": X, "f": F.int()}, "f: got torch.int32"),
    (ops.upfirdn2d, {"x": X, "f": F, "up": 0}, "up: got 0, takes integers from 1"),
    (ops.upfirdn2d, {"x": X, "f": F, "up": 2.0}, "up: got 2.0, takes an integer or 2 of them"),
    (ops.upfirdn2d, {"x": X, "f": F, "down": [1, 2, 3]}, r"down: got \[1, 2, 3\]"),
    (ops.upfirdn2d, {"x": X, "f": F, "padding": [1, 2, 3]}, r"padding: got \[1, 2, 3\].*2 or 4 of them"),
    (ops.upfirdn2d, {"x": X, "f": F, "padding": -3}, "padding: x of shape .* is smaller than f"),
    (ops.upfirdn2d, {"x": X, "f": F, "gain": float("inf")}, "gain: got inf"),
    (ops.setup_filter, {"f": torch.ones(2, 2, 2)}, "f: got shape"),
    (ops.setup_filter, {"f": [1, -1]}, "f: its elements sum to 0"),
    (ops.setup_filter, {"f": [[1, 1], [1, 1]], "separable": True}, "separable: got True"),
    (ops.conv2d_resample, {"x": X, "w": W.double()}, "w: got torch.float64, takes x's torch.float32"),
    (ops.conv2d_resample, {"x": X, "w": W[:, :2]}, r"w: got \(4, 2, 3, 3\), takes \[O, 3, kh, kw\]"),
    (ops.conv2d_resample, {"x": X, "w": W, "groups": 2}, "groups: got 2, takes a divisor of 3 and 4"),
    (ops.conv2d_resample, {"x": X, "w": W, "up": 1.5}, "up: got 1.5, takes an integer from 1"),
    (ops.modulated_conv2d, {"x": X, "w": W, "s": S[:1]}, r"s: got \(1, 3\), takes \(2, 3\)"),
    (ops.modulated_conv2d, {"x": X, "w": W[:, :2], "s": S}, r"w: got \(4, 2, 3, 3\)"),
    (ops.modulated_conv2d, {"x": X, "w": W, "s": S, "noise": torch.ones(5, 5)}, r"noise: got \(5, 5\)"),
    (ops.modulated_conv2d, {"x": X, "w": W, "s": S, "b": torch.ones(3)}, "b: got 3 elements, takes 4"),
    (ops.modulate, {"x": X[0, 0, 0]}, r"x: got 1 dimensions \(8,\), takes 2 or more"),
    (ops.modulate, {"x": X, "s": S[:1]}, r"s: got \(1, 3\), takes \(2, 3\)"),
    (ops.modulate, {"x": X, "s": S.long()}, "s: got torch.int64"),
    (ops.modulate, {"x": X, "noise": torch.ones(5, 5)}, r"noise: got \(5, 5\)"),
    (ops.modulate, {"x": S, "noise": torch.ones(1)}, r"noise: takes x \[N, C, H, W\]"),
    (ops.modulate, {"x": X, "strength": torch.ones(1)}, "strength: of a noise that was not given"),
    (ops.modulate, {"x": X, "noise": X[:, :1], "strength": torch.ones(2)}, r"strength: got shape \(2,\)"),
    (ops.modulate, {"x": X, "b": torch.ones(4)}, "b: got 4 elements, takes 3"),
    (ops.modulate, {"x": X, "act": "mish"}, "act: got 'mish', takes linear, relu, lrelu"),
    (ops.filtered_lrelu, {"x": X[0]}, "x: got 3 dimensions"),
    (ops.filtered_lrelu, {"x": X, "fu": torch.ones(2, 2, 2)}, r"fu: got shape \(2, 2, 2\)"),
    (ops.filtered_lrelu, {"x": X, "fd": F.int()}, "fd: got torch.int32"),
    (ops.filtered_lrelu, {"x": X, "b": torch.ones(4)}, "b: got 4 elements, takes 3"),
    (ops.filtered_lrelu, {"x": X, "up": (2, 1)}, r"up: got \(2, 1\), takes an integer"),
    (ops.filtered_lrelu, {"x": X, "down": 0}, "down: got 0, takes integers from 1"),
    (ops.filtered_lrelu, {"x": X, "clamp": -1}, "clamp: got -1"),
    (ops.filtered_lrelu, {"x": X, "slope": None}, "slope: got None, takes a number"),
    (ops.filtered_lrelu, {"x": X, "fd": torch.ones(12)}, "padding: x of shape .* is smaller than fu"),
    (ops.minibatch_stddev, {"x": X, "group_size": 0}, "group_size: got 0"),
    (ops.minibatch_stddev, {"x": X, "num_channels": 2}, "num_channels: got 2, takes a divisor of x's 3"),
    (ops.minibatch_stddev, {"x": X[:0]}, "x: got shape"),
    (ops.minibatch_stddev, {"x": X, "labels": [0, 1]}, "labels: got list, takes a torch.Tensor"),
    (ops.minibatch_stddev, {"x": X, "labels": torch.ones(2)}, "labels: got torch.float32, takes integers"),
    (ops.minibatch_stddev, {"x": X, "labels": torch.tensor([1])}, r"labels: got shape \(1,\), takes \(2,\)"),
    (ops.grid_sample, {"x": X[0], "grid": G}, "x: got 3 dimensions"),
    (ops.grid_sample, {"x": X[..., :0], "grid": G}, "x: got shape .* at least one pixel"),
    (ops.grid_sample, {"x": X, "grid": G.long()}, "grid: got torch.int64"),
    (ops.grid_sample, {"x": X, "grid": G[:1]}, r"grid: got \(1, 4, 4, 2\), takes \[2, H', W', 2\]"),
    (ops.affine_warp, {"x": X, "theta": torch.ones(2, 3, 3)}, r"theta: got \(2, 3, 3\), takes \(2, 2, 3\)"),
    (ops.affine_warp, {"x": X, "theta": torch.ones(2, 2, 3), "size": [4, 0]}, r"size: got \[4, 0\]"),
    (ops.square_sum, {"x": torch.ones([])}, "x: got 0 dimensions"),
    (
        ops.interpolate,
        {"a": X, "b": X[:1], "seed": torch.tensor([1, 2])},
        r"b: got torch.float32 \(1, 3, 8, 8\), takes",
    ),
    (
        ops.interpolate,
        {"a": X, "b": X, "seed": torch.tensor([1.0, 2])},
        r"seed: got torch.float32 \(2,\), takes an int64",
    ),
    (ops.r1, {"x": X, "logits": X.sum([1, 2, 3])}, "x: does not require a gradient"),
]


@pytest.mark.parametrize(("op", "arguments", "message"), BAD, ids=[f"{o.__name__}-{m[:24]}" for o, _, m in BAD])
def test_refused_by_name(op, arguments: dict, message: str) -> None:
    before = {k: v.clone() for k, v in arguments.items() if isinstance(v, torch.Tensor)}
    with pytest.raises((TypeError, ValueError), match=message):
        op(**arguments)
    for name, value in before.items():
        assert torch.equal(arguments[name], value)


def test_r1_of_unrelated_logits() -> None:
    x = X.clone().requires_grad_()
    with pytest.raises(ValueError, match="logits: do not depend on x"):
        ops.r1(x, torch.ones(2, requires_grad=True))
    with pytest.raises(ValueError, match=r"logits: got shape \(3,\), takes as many samples as x of shape \(2, "):
        ops.r1(x, x.sum() * torch.ones(3))


@pytest.mark.parametrize("backend", ["reference", *backends_of("modulated_conv2d")])
@pytest.mark.parametrize(("act", "up"), [("lrelu", 1), ("softplus", 1), ("lrelu", 2)])
def test_every_route_of_a_layer_refuses_what_kernels_would_read_beyond(backend: str, act: str, up: int) -> None:
    x, w, s = (t.to(device_of(backend)) for t in (X, W, S))
    for name, bad, given in (
        ("b", torch.ones(3), {}),
        ("b", torch.ones(4, dtype=torch.int64), {}),
        ("noise", torch.ones(5, 5), {}),
        ("strength", torch.ones([]), {}),
        ("strength", torch.ones(2), {"noise": torch.ones(1, 1)}),
    ):
        given = {key: t.to(x.device) for key, t in (given | {name: bad}).items()}
        with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
            ops.modulated_conv2d(x, w, s, up=up, padding=1, act=act, backend=backend, **given)


@pytest.mark.parametrize("backend", backends_of("modulated_conv2d"))
def test_an_image_smaller_than_the_kernel_is_refused(backend: str) -> None:
    x, w, s = (t.to(device_of(backend)) for t in (X[:, :, :2, :2], W, S))
    with pytest.raises((RuntimeError, ValueError), match=r"(?i)kernel size|smaller than w"):
        ops.modulated_conv2d(x, w, s, backend=backend)
