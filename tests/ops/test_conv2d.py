"""conv2d beyond the contract: its adjoint, its derivatives' kernels, and Winograd's pieces."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from gan_fast import ops, testing
from gan_fast.ops import winograd


def randn(*shape: int, device: torch.device, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=dtype, device=device).requires_grad_()


class Convolutions(TorchDispatchMode):
    """Records (shape of x, shape of w) of every convolution, and which gradients a backward pass makes."""

    def __init__(self) -> None:
        super().__init__()
        self.forward: list[tuple[torch.Size, torch.Size]] = []
        self.backward: list[list[bool]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.forward.append((args[0].shape, args[1].shape))
        if func is torch.ops.aten.convolution_backward.default:
            self.backward.append(args[-1])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("settings", [{}, {"padding": 1}, {"stride": 2, "output_padding": 1}, {"padding": (1, 0)}])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("channels", [4, 32])
def test_conv_transpose2d_is_that_of_pytorch(settings: dict, groups: int, channels: int, device: torch.device) -> None:
    x, w = randn(2, channels, 9, 8, device=device), randn(channels, 32, 3, 3, device=device)
    mine, true = (
        ops.conv_transpose2d(x, w, groups=groups, **settings),
        F.conv_transpose2d(x, w, groups=groups, **settings),
    )
    torch.testing.assert_close(mine, true)
    dy = torch.randn_like(true)
    grads = [torch.autograd.grad(y, [x, w], dy, create_graph=True) for y in (mine, true)]
    for mine, true in zip(*grads, strict=True):
        torch.testing.assert_close(mine, true)
    seconds = [torch.autograd.grad(sum(g.square().sum() for g in pair), [x, w]) for pair in grads]
    for mine, true in zip(*seconds, strict=True):
        torch.testing.assert_close(mine, true)


def test_gradients_of_both_orders_by_differences(device: torch.device) -> None:
    x, w = randn(1, 32, 8, 8, device=device), randn(32, 32, 3, 3, device=device)
    for call in (lambda x, w: ops.conv2d(x, w, padding=1), lambda x, w: ops.conv_transpose2d(x, w, padding=1)):
        assert torch.autograd.gradcheck(call, (x, w), fast_mode=True)
        assert torch.autograd.gradgradcheck(call, (x, w), fast_mode=True)


def test_a_gradient_penalty_takes_four_passes_and_no_feature_map_as_kernel(device: torch.device) -> None:
    """A layer takes forward, input gradient, a convolution of the tangent (the last layer: none), weight gradient."""
    x = randn(2, 3, 16, 16, device=device)
    weights = [randn(4, 3, 3, 3, device=device), randn(5, 4, 3, 3, device=device)]
    with Convolutions() as passes:
        y = x
        for w in weights:
            y = ops.bias_act(ops.conv2d(y, w, padding=1), act="lrelu")
        (g,) = torch.autograd.grad(y.sum(), [x], create_graph=True)
        assert len(passes.forward) == 4
        assert not passes.backward, "no gradient of w on the way"
        g.square().sum().backward()
    assert len(passes.forward) == 5
    assert {tuple(w) for _, w in passes.forward} == {(4, 3, 3, 3), (5, 4, 3, 3)}
    assert passes.backward == [[False, True, False]] * 2


def test_a_third_order_exists(device: torch.device) -> None:
    x, w = randn(1, 2, 4, 4, device=device), randn(2, 2, 3, 3, device=device)

    def third(conv) -> Tensor:
        y = conv(x, w).pow(4).sum()
        for _ in range(3):
            (y,) = torch.autograd.grad(y, [w], create_graph=True)
            y = y.square().sum()
        return y

    torch.testing.assert_close(third(ops.conv2d), third(F.conv2d))


def test_a_style_is_applied_again_instead_of_kept(device: torch.device) -> None:
    """What a modulated convolution keeps for backward is its input and its output."""
    kept: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    x = randn(2, 8, 32, 32, device=device, dtype=torch.float32)
    w, s = randn(8, 8, 3, 3, device=device, dtype=torch.float32), randn(2, 8, device=device, dtype=torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = ops.modulated_conv2d(x, w, s, padding=1, act="lrelu")
    assert {n for n in kept.values() if n >= 4 * x.numel()} == {4 * x.numel()}
    assert sum(n for n in kept.values() if n >= 4 * x.numel()) == 2 * 4 * x.numel()
    assert y.untyped_storage().data_ptr() in kept


# ------------------------------------------------------------------------------------------------ Winograd's filtering


@pytest.fixture(params=[1 << 10, winograd._CHUNK_BYTES], ids=["many chunks", "one chunk"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_CHUNK_BYTES", request.param)


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("pad", [(1, 1), (0, 2), (-1, 1)])
@pytest.mark.usefixtures("chunks")
def test_winograd_is_a_convolution(
    m: int, dtype: torch.dtype, memory_format: torch.memory_format, pad: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)

    def whole(*shape: int) -> Tensor:
        """Small whole numbers: exact in half precision."""
        return torch.randint(-4, 5, shape, generator=generator).to(dtype).contiguous(memory_format=memory_format)

    def assert_equal(mine: Tensor, true: Tensor, length: int) -> None:
        computed = torch.float64 if dtype == torch.float64 else torch.float32
        rounding = testing.FULL_PRECISION[computed] * torch.finfo(computed).eps * length**0.5
        rounding += 0 if dtype == computed else torch.finfo(dtype).eps / 2
        assert (mine.double() - true).abs().max() <= rounding * true.abs().max()

    x, w = whole(3, 5, 7, 13), whole(19, 5, 3, 3)
    w64 = w.double().requires_grad_()
    true = F.conv2d(F.pad(x.double(), (pad[1], pad[1], pad[0], pad[0])), w64)
    y = torch.full_like(true, float("nan"), dtype=dtype, memory_format=memory_format)
    winograd.convolve(x, winograd.transform_weight(w, m, False, "cpu"), pad, y, "cpu")
    assert_equal(y, true, 9 * 5)
    dy, dw = whole(*y.shape), torch.full_like(w, float("nan"))
    winograd.weight_grad(x, dy, pad, m, dw, "cpu")
    assert_equal(dw, torch.autograd.grad(true, w64, dy.double())[0], dy.numel() // 19)


def test_fake_tensors_are_not_transformed() -> None:
    with FakeTensorMode():
        x = torch.empty(1, 32, 8, 8).requires_grad_()
        y = ops.conv2d(x, torch.empty(48, 32, 3, 3), padding=1)
        assert y.shape == (1, 48, 8, 8)
        assert torch.autograd.grad(y.sum(), x)[0].shape == x.shape


def test_winograd_takes_what_it_is_faster_for() -> None:
    def takes(channels: int, area: int, kernel: int = 3, stride: int = 1) -> bool:
        return winograd.takes(torch.empty(channels, channels, kernel, kernel), stride, 1, area, "cpu")

    assert takes(32, 64)
    assert not takes(31, 64)
    assert not takes(32, 63)
    assert not takes(32, 64, kernel=1)
    assert not takes(32, 64, stride=2)
    assert not winograd.takes(torch.empty(32, 32, 3, 3), 1, 1, 64, "cuda")
