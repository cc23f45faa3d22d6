"""The composed ops against their definitions, written out naively."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from gan_fast import ops
from gan_fast.ops import autotune, backends
from gan_fast.ops.upfirdn2d import downsample_padding, parse_padding, upsample_padding


def randn(*shape: int, device: torch.device, **options) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, device=device, **options)


def naive_conv2d_resample(x, w, f, up, down, padding, groups, flip_weight):
    """The definition: insert zeros, filter, convolve, filter, drop samples."""
    pad = parse_padding(padding)
    pad = upsample_padding(f, up, pad) if up > 1 else pad
    pad = downsample_padding(f, down, pad) if down > 1 else pad
    x = ops.upfirdn2d(x, f if up > 1 else None, up=up, padding=pad, gain=up**2, backend="reference")
    x = F.conv2d(x, w if flip_weight else w.flip([2, 3]), groups=groups)
    return ops.upfirdn2d(x, f, down=down, backend="reference") if down > 1 else x


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, 1), (2, 2)])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_conv2d_resample_equals_its_definition(up: int, down: int, k: int, device: torch.device) -> None:
    f = ops.setup_filter([1, 3, 3, 1], device=device)
    for padding, flip, groups in itertools.product((0, 1, 2, (0, 1), (1, 2, 0, 3)), (True, False), (1, 2)):
        x = randn(2, 4, 8, 6, device=device)
        w = randn(6, 4 // groups, k, k, device=device)
        y = ops.conv2d_resample(x, w, f, up, down, padding, groups, flip)
        torch.testing.assert_close(y, naive_conv2d_resample(x, w, f, up, down, padding, groups, flip))


def test_conv2d_resample_keeps_or_scales_the_size(device: torch.device) -> None:
    f = ops.setup_filter([1, 3, 3, 1], device=device)
    x, w = randn(1, 2, 8, 12, device=device), randn(3, 2, 3, 3, device=device)
    assert ops.conv2d_resample(x, w, f, padding=1).shape == (1, 3, 8, 12)
    assert ops.conv2d_resample(x, w, f, up=2, padding=1).shape == (1, 3, 16, 24)
    assert ops.conv2d_resample(x, w, f, down=2, padding=1).shape == (1, 3, 4, 6)


@pytest.mark.parametrize("settings", [{}, {"up": 2}, {"down": 2}, {"demodulate": False}])
def test_modulated_conv2d_equals_per_sample_weights(settings: dict, device: torch.device) -> None:
    f = ops.setup_filter([1, 3, 3, 1], device=device)
    x, w, s = randn(3, 4, 6, 6, device=device), randn(5, 4, 3, 3, device=device), randn(3, 4, device=device)
    weights = w[None] * s[:, None, :, None, None]
    if settings.get("demodulate", True):
        weights = weights / (weights.square().sum([2, 3, 4], keepdim=True) + 1e-8).sqrt()
    resample = {k: v for k, v in settings.items() if k != "demodulate"}
    naive = [ops.conv2d_resample(x[i : i + 1], weights[i], f, padding=1, **resample) for i in range(3)]
    noise, b = randn(3, 1, *naive[0].shape[2:], device=device), randn(5, device=device)
    true = ops.bias_act(torch.cat(naive) + noise, b, act="lrelu", clamp=2, backend="reference")
    y = ops.modulated_conv2d(x, w, s, noise=noise, padding=1, f=f, b=b, act="lrelu", clamp=2, **settings)
    torch.testing.assert_close(y, true)


@pytest.mark.parametrize("demodulate", [True, False])
def test_input_gain_scales_x_past_demodulation(demodulate: bool, device: torch.device) -> None:
    x, w, s = (torch.randn(n, dtype=torch.float64, device=device) for n in ((2, 3, 5, 5), (4, 3, 3, 3), (2, 3)))
    gain = torch.tensor(0.3, dtype=torch.float64, device=device)
    operands = [t.requires_grad_() for t in (x, w, s)]
    results = []
    for scaled in (x, None):
        options = {"input_gain": gain} if scaled is None else {}
        y = ops.modulated_conv2d(x, w, s, padding=1, demodulate=demodulate, **options) * (1 if scaled is None else gain)
        results.append([y, *torch.autograd.grad(y.square().sum(), operands, create_graph=True)])
    for ours, want in zip(*results, strict=True):
        torch.testing.assert_close(ours, want)


def test_modulated_conv2d_in_float16_stays_in_range(device: torch.device) -> None:
    """Large styles and weights overflow float16 without the published normalisation, which demodulation cancels."""
    x, w, s = (
        randn(2, 64, 4, 4, device=device),
        300 * randn(8, 64, 3, 3, device=device),
        300 * randn(2, 64, device=device),
    )
    true = ops.modulated_conv2d(x, w, s, padding=1)
    y = ops.modulated_conv2d(x.half(), w, s, padding=1)
    assert y.isfinite().all()
    assert (y - true).abs().max() < 0.02 * true.abs().max()


def test_modulated_conv2d_never_forms_weights_per_sample(device: torch.device) -> None:
    n, o, i = 64, 32, 32
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            largest = max(largest, out.numel() if isinstance(out, torch.Tensor) else 0)
            return out

    with Watch():
        ops.modulated_conv2d(
            torch.randn(n, i, 4, 4, device=device),
            torch.randn(o, i, 3, 3, device=device),
            torch.randn(n, i, device=device),
            padding=1,
        )
    assert largest < n * o * i * 9 / 4


def test_minibatch_stddev_equals_its_definition(device: torch.device) -> None:
    x = randn(8, 6, 3, 2, device=device)
    y = ops.minibatch_stddev(x, group_size=4, num_channels=2)
    assert torch.equal(y[:, :6], x)
    for m in range(2):
        members = x[m::2]
        sigma = (members.var(0, unbiased=False) + 1e-8).sqrt()
        for k in range(2):
            torch.testing.assert_close(y[m::2, 6 + k], sigma[3 * k : 3 * k + 3].mean().expand(4, 3, 2))


@pytest.mark.parametrize(("n", "asked", "taken"), [(7, 4, 1), (6, 4, 3), (8, None, 8), (3, 4, 3), (1, 4, 1)])
def test_minibatch_stddev_takes_the_largest_divisor(
    n: int, asked: int | None, taken: int, device: torch.device
) -> None:
    x = randn(n, 2, 2, 2, device=device)
    assert ops.minibatch_stddev(x, asked)[:, 2, 0, 0].unique().numel() <= n // taken
    torch.testing.assert_close(ops.minibatch_stddev(x, asked), ops.minibatch_stddev(x, taken))


@pytest.mark.parametrize("group_size", [1, 2, 3, None])
def test_minibatch_stddev_within_classes_equals_its_definition(group_size: int | None, device: torch.device) -> None:
    labels = [4, -1, 4, 4, 0, -1, 4, 4, 4, -1]
    x = randn(len(labels), 4, 3, 2, device=device)
    y = ops.minibatch_stddev(x, group_size, 2, labels=torch.tensor(labels, dtype=torch.int32, device=device))
    assert torch.equal(y[:, :4], x)
    for label in set(labels):
        of_class = [n for n, found in enumerate(labels) if found == label]
        size = group_size or len(of_class)
        for first in range(0, len(of_class), size):
            members = of_class[first : first + size]
            sigma = (x[members].var(0, unbiased=False) + 1e-8).sqrt()
            for k in range(2):
                share = sigma[2 * k : 2 * k + 2].mean().expand(len(members), 3, 2)
                torch.testing.assert_close(y[members, 4 + k], share)


@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid")
@pytest.mark.parametrize("size", [(5, 7), (1, 3)])
@pytest.mark.parametrize("align_corners", [False, True])
def test_grid_sample_and_affine_warp_are_those_of_pytorch(
    align_corners: bool, size: tuple[int, int], device: torch.device
) -> None:
    x = randn(2, 3, 6, 8, device=device, requires_grad=True)
    theta = (torch.eye(2, 3, dtype=torch.float64, device=device) + 0.4 * randn(2, 2, 3, device=device)).requires_grad_()
    grid = F.affine_grid(theta, [2, 3, *size], align_corners=align_corners)
    true = F.grid_sample(x, grid, align_corners=align_corners)
    for y in (
        ops.grid_sample(x, grid, align_corners),
        ops.affine_warp(x, theta, size, align_corners),
        ops.affine_warp(x, theta, size, align_corners, backend="reference"),
    ):
        torch.testing.assert_close(y, true)
        for mine, theirs in zip(
            torch.autograd.grad(y.square().sum(), [x, theta]),
            torch.autograd.grad(true.square().sum(), [x, theta], retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(mine, theirs)
    assert torch.autograd.gradgradcheck(lambda x, t: ops.affine_warp(x, t, None, align_corners), (x, theta))


def test_affine_warp_by_a_pixel_shifts(device: torch.device) -> None:
    x = randn(1, 2, 4, 5, device=device)
    theta = torch.tensor([[[1.0, 0.0, 2 / 5], [0.0, 1.0, 0.0]]], dtype=x.dtype, device=device)
    y = ops.affine_warp(x, theta)
    torch.testing.assert_close(y[..., :-1], x[..., 1:])
    torch.testing.assert_close(y[..., -1], torch.zeros_like(y[..., -1]))


def test_r1_and_its_weight_gradient_of_a_quadratic(device: torch.device) -> None:
    """D(x) = w . x^2 has the penalty 4 sum of w^2 x^2, whose gradient in w is 8 w x^2."""
    x = randn(3, 5, device=device, requires_grad=True)
    w = randn(5, device=device, requires_grad=True)
    penalty = ops.r1(x, (x.square() * w).sum(1))
    torch.testing.assert_close(penalty, 4 * (w * x).square().sum(1))
    penalty.sum().backward()
    torch.testing.assert_close(w.grad, 8 * w * x.square().sum(0))


def test_composed_ops_differentiate_twice(device: torch.device) -> None:
    x = randn(4, 2, 4, 4, device=device, requires_grad=True)
    w = randn(2, 2, 3, 3, device=device, requires_grad=True)
    f = ops.setup_filter([1, 3, 3, 1], device=device)
    assert torch.autograd.gradgradcheck(lambda x: ops.minibatch_stddev(x, 2), x, fast_mode=True)
    for settings in ({"up": 2}, {"down": 2}, {}):
        call = lambda x, w, settings=settings: ops.conv2d_resample(x, w, f, padding=1, **settings)  # noqa: E731
        assert torch.autograd.gradcheck(call, (x, w), fast_mode=True)
        assert torch.autograd.gradgradcheck(call, (x, w), fast_mode=True)


def test_setup_filter_and_sizes(device: torch.device) -> None:
    f = ops.setup_filter([1, 3, 3, 1], device=device)
    assert f.shape == (4, 4)
    assert f.device.type == device.type
    torch.testing.assert_close(f.sum().item(), 1.0)
    assert ops.setup_filter(list(range(1, 13))).shape == (12,)
    torch.testing.assert_close(
        ops.setup_filter([1, 2], gain=4, normalize=False, separable=True), 2 * torch.tensor([1.0, 2])
    )
    torch.testing.assert_close(ops.setup_filter([1, 2], flip_filter=True), torch.tensor([[4.0, 2], [2, 1]]) / 9)
    flat = torch.full((1, 2, 8, 8), 3.0, device=device)
    for op, side in ((ops.upsample2d, 16), (ops.downsample2d, 4), (ops.filter2d, 8)):
        y = op(flat, f)
        assert y.shape == (1, 2, side, side)
        torch.testing.assert_close(y[:, :, 2:-2, 2:-2], torch.full_like(y[:, :, 2:-2, 2:-2], 3.0))
    assert ops.upsample2d(flat, f, up=(2, 1)).shape == (1, 2, 8, 16), "x before y"


@pytest.mark.parametrize("settings", [{"down": 2, "padding": 20}, {"up": 5, "padding": 12}])
def test_filtered_lrelu_beyond_the_kernels_is_composed(settings: dict, device: torch.device) -> None:
    fu, fd = randn(9, device=device), randn(26, device=device)
    tensors = [randn(2, 3, 12, 11, device=device).requires_grad_(), randn(3, device=device).requires_grad_()]

    def run(backend: str | None) -> list[torch.Tensor]:
        x, b = tensors
        y = ops.filtered_lrelu(x, fu, fd, b, clamp=2, backend=backend, **settings)
        return [y, *torch.autograd.grad(y.square().sum(), tensors)]

    for mine, true in zip(run(None), run("reference"), strict=True):
        torch.testing.assert_close(mine, true)


def test_a_modulated_convolution_takes_the_fastest_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two may run, each candidate is the whole layer, with its gradients if the call has any."""
    x, w, s = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 3, 3).requires_grad_(), torch.randn(2, 3)
    asked = []

    def fastest(op: str, key: tuple, candidates: dict, device: torch.device) -> str:
        launched = {name: ops.explain_call(candidate) for name, candidate in candidates.items()}
        asked.append((op, key, launched))
        return "triton"

    monkeypatch.setattr(autotune, "fastest", fastest)
    monkeypatch.setitem(backends.AUTO_ORDER, "cpu", ("cpu", "triton"))
    launched = ops.explain_call(ops.modulated_conv2d, x, w, s, padding=1)
    assert launched == ["modulated_conv2d on triton"]
    (op, key, candidates), *_ = asked
    assert op == "modulated_conv2d"
    assert key[:8] == (2, 3, 5, 5, 4, 3, 3, 3)
    assert candidates["triton"][0] == "modulated_conv2d on triton"
    assert "modulated_conv2d_weight_grad on triton" in candidates["triton"]
    assert "modulate_grad on cpu" in candidates["cpu"]
    ops.modulated_conv2d(x, w, s, padding=1, backend="cpu")
    assert len(asked) == 1, "a backend that is named is not compared"
    with torch.no_grad():
        ops.modulated_conv2d(x, w, s, padding=1)
    assert asked[1][1] != key, "without gradients another may be the fastest"
