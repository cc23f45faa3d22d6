"""Every op on every backend against the contract: values, gradients of both orders, routes, memory, determinism."""

import pytest
import torch
from contract import backends_of, device_of, dtypes_for, dtypes_of, is_interpreted, marks_of, samples_of
from torch.library import opcheck

from gan_fast import ops, testing
from gan_fast.ops import primitive
from gan_fast.ops.backends import has_kernel
from gan_fast.ops.bias_act import ACTIVATIONS, _bias_act, _bias_act_grad, _bias_act_grad2
from gan_fast.ops.filtered_lrelu import _filtered_lrelu, _filtered_lrelu_grad
from gan_fast.ops.grid_sample import _grid_sample, _grid_sample_adjoint, _grid_sample_grid_grad
from gan_fast.ops.interpolate import _interpolate, _interpolate_grad
from gan_fast.ops.minibatch_stddev import (
    _class_groups,
    _minibatch_stddev,
    _minibatch_stddev_grad,
    _minibatch_stddev_grad2,
)
from gan_fast.ops.modulate import _modulate, _modulate_grad, _modulate_tangent
from gan_fast.ops.square_sum import _square_sum, _square_sum_grad
from gan_fast.ops.upfirdn2d import _upfirdn2d
from gan_fast.testing.samples.modulate import modulate_sample

PAIRS = [(op, backend) for op in testing.OPS for backend in backends_of(op)]
CALLS = [pytest.param(s, b, id=f"{s}-{b}") for op, b in PAIRS for s in samples_of(op, b)]
FEW = [
    c
    for c in CALLS
    if c.values[0].name
    in (
        *("lrelu-bias-clamp", "swish-bias", "up2-channels_last", "3x5", "up2"),
        *("no-divisor", "labels-channels_last", "slope0"),
        *("lrelu-recover-clamp", "lrelu-clamp", "linear-recover", "channels_last-recover"),
    )
]
# what hardly depends on the kernel is tried on a few samples where it is interpreted: one program after another there
SHARE = [c for c in CALLS if c in FEW or not is_interpreted(c.values[1])]


def thorough(calls: list) -> list:
    """Interpreted ones are left to the exhaustive tests."""
    return [pytest.param(*c.values, id=c.id, marks=marks_of(c.values[1])) for c in calls]


QUICK = {f"{s}-{b}" for op, b in PAIRS for s in samples_of(op, b)[::4]}


@pytest.mark.parametrize(("sample", "backend"), [c if c.id in QUICK else thorough([c])[0] for c in CALLS])
def test_matches_reference(sample: testing.Sample, backend: str) -> None:
    for dtype in dtypes_for(sample, backend):
        testing.assert_matches_reference(sample, backend, dtype, device_of(backend))


@pytest.mark.parametrize(("sample", "backend"), SHARE)
def test_registered_route_matches_reference(sample: testing.Sample, backend: str) -> None:
    testing.assert_matches_reference(sample, backend, torch.float64, device_of(backend), route="registered")


# interpreted, a modulated convolution takes half a minute
@pytest.mark.parametrize(
    ("sample", "backend"),
    thorough([c for c in FEW if c.values[0].op != "modulated_conv2d" or not is_interpreted(c.values[1])]),
)
def test_gradcheck(sample: testing.Sample, backend: str) -> None:
    fast = is_interpreted(backend) or sample.op == "modulated_conv2d"
    checks = testing.check_gradients(sample, backend, device_of(backend), fast)
    assert all(c.passed for c in checks), checks


@pytest.mark.parametrize(("sample", "backend"), thorough(SHARE))
def test_equal_bits_on_two_runs(sample: testing.Sample, backend: str) -> None:
    checks = testing.check_equal_bits(sample, backend, torch.float32, device_of(backend))
    assert all(c.passed for c in checks), checks


@pytest.mark.parametrize("op", testing.OPS)
def test_samples_come_in_every_layout(op: str) -> None:
    assert op == "noise" or {s.layout for s in testing.samples(op)} == set(testing.LAYOUTS)


@pytest.mark.parametrize(("op", "backend"), [(op, b) for op, b in PAIRS if op not in ("noise", "square_sum")])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_memory_format_is_kept(op: str, backend: str, memory_format: torch.memory_format) -> None:
    x = torch.randn(2, 6, 8, 8, device=device_of(backend)).contiguous(memory_format=memory_format)
    arguments = {
        "bias_act": {},
        "conv2d": {"w": torch.randn(4, 6, 3, 3, device=x.device)},
        "grid_sample": {"grid": torch.rand(2, 5, 7, 2, device=x.device)},
        "interpolate": {"b": torch.randn(2, 6, 8, 8, device=x.device), "seed": torch.tensor([1, 2], device=x.device)},
        "minibatch_stddev": {},
        "modulate": {"s": torch.randn(2, 6, device=x.device), "act": "lrelu"},
        "upfirdn2d": {"f": ops.setup_filter([1, 3, 3, 1], device=x.device), "up": 2, "padding": 1},
        "filtered_lrelu": {"fu": ops.setup_filter([1, 3, 3, 1], device=x.device), "up": 2, "padding": 1},
        "modulated_conv2d": {"w": torch.randn(4, 6, 3, 3, device=x.device), "s": torch.randn(2, 6, device=x.device)},
    }[op]
    y = getattr(ops, op)(x, **arguments, backend=backend)
    assert y.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [(b, d) for b in backends_of("upfirdn2d") for d in dtypes_of(b) if d != torch.float32],
)
def test_filter_of_another_dtype(backend: str, dtype: torch.dtype) -> None:
    """StyleGAN code keeps float32 filters beside activations of any dtype; kernels read them unrounded."""
    x = torch.randn(2, 3, 6, 6, device=device_of(backend)).to(dtype)
    f = torch.tensor([0.1, 0.3, 0.7, 0.2], device=x.device)
    y = ops.upfirdn2d(x, f, padding=2, backend=backend)
    true = ops.upfirdn2d(x.double(), f.double(), padding=2, backend="reference")
    roundings = testing.FULL_PRECISION.get(dtype, 1.0)  # half precision rounds once, at the end
    assert (y.double() - true).abs().max() <= roundings * torch.finfo(dtype).eps * true.abs().max()


# ------------------------------------------------------------------------------------------------ conventions


@pytest.mark.parametrize("backend", ["reference", *backends_of("bias_act")])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_nan_and_infinity(backend: str, act: str) -> None:
    """NaN stays NaN, with and without a clamp; infinities go where PyTorch's activation sends them."""
    device = device_of(backend)
    x = torch.tensor([[float("nan"), float("inf"), 1.0, float("nan"), 2.0]], device=device)
    for clamp in (None, 0.5):
        y = ops.bias_act(x, act=act, clamp=clamp, backend=backend)
        assert y.isnan().tolist() == [[True, False, False, True, False]]
        assert y[0, 1] == (clamp or ops.bias_act(x, act=act, backend="reference")[0, 1])


@pytest.mark.parametrize("backend", ["reference", *backends_of("filtered_lrelu")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_filtered_lrelu_has_the_conventions_of_bias_act(backend: str, dtype: torch.dtype) -> None:
    nan = float("nan")
    row = torch.tensor([0.0, 0.75, -0.75, 0.5, -9.0, 9.0, nan, float("inf")], dtype=dtype, device=device_of(backend))
    x = row.reshape(1, 1, 1, -1).requires_grad_()
    y = ops.filtered_lrelu(x, slope=0.25, gain=1, clamp=0.75, backend=backend)
    (dx,) = torch.autograd.grad(y.sum(), [x])
    expected = [0.0, 0.75, -0.1875, 0.5, -0.75, 0.75, nan, 0.75]
    assert y.flatten().tolist() == pytest.approx(expected, nan_ok=True, abs=0)
    assert dx.flatten().tolist() == [0.25, 0.0, 0.25, 1.0, 0.0, 0.0, 0.25, 0.0]
    unclamped = ops.filtered_lrelu(x, slope=0.25, gain=1, backend=backend)
    assert torch.autograd.grad(unclamped.nan_to_num().sum(), [x])[0].flatten().tolist()[4:6] == [0.25, 1.0]


@pytest.mark.parametrize("backend", ["reference", *backends_of("bias_act")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_derivatives_at_the_kinks(backend: str, dtype: torch.dtype) -> None:
    """At 0 the left derivative counts; where |y| reaches the clamp no gradient flows."""
    x = torch.tensor([[0.0, 0.7, -0.7, 0.5, 9.0]], dtype=dtype, device=device_of(backend), requires_grad=True)
    y = ops.bias_act(x, act="lrelu", alpha=0.25, gain=1, clamp=0.7, backend=backend)
    (dx,) = torch.autograd.grad(y.sum(), [x])
    assert dx.tolist() == [[0.25, 0.0, 0.25, 1.0, 0.0]]
    (dx,) = torch.autograd.grad(ops.bias_act(x, act="relu", gain=1, backend=backend).sum(), [x])
    assert dx.tolist() == [[0.0, 1.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize("backend", ["reference", *backends_of("grid_sample")])
def test_points_far_away_sample_zeros(backend: str) -> None:
    far = [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 3.0]
    grid = torch.tensor([[p, 0.0] for p in far] + [[0.0, p] for p in far], device=device_of(backend))
    grid = grid.reshape(1, 1, -1, 2).requires_grad_()
    x = torch.ones(1, 2, 3, 3, device=grid.device, requires_grad=True)
    y = ops.grid_sample(x, grid, backend=backend)
    assert (y == 0).all()
    dx, dgrid = torch.autograd.grad(y.sum(), [x, grid])
    assert (dx == 0).all()
    assert (dgrid[grid.isfinite().all(-1)] == 0).all()


@pytest.mark.parametrize("backend", backends_of("grid_sample"))
def test_grid_sample_second_derivative_in_the_grid_ends(backend: str) -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, device=device_of(backend), requires_grad=True)
    grid = torch.full((1, 1, 1, 2), 0.3, dtype=torch.float64, device=x.device, requires_grad=True)
    g = ops.grid_sample(x, grid.detach(), backend=backend).square().sum() ** 2
    for _ in range(4):  # in x alone every order exists
        (g,) = torch.autograd.grad(g.sum(), [x], create_graph=True)
    g = ops.grid_sample(x, grid, backend=backend).square().sum()
    for _ in range(2):
        (g,) = torch.autograd.grad(g.sum(), [grid], create_graph=True)
    with pytest.raises(RuntimeError, match=r"grid_sample_grid_grad along .*backend='reference'"):
        torch.autograd.grad(g.sum(), [grid])


@pytest.mark.parametrize("backend", ["reference", *backends_of("minibatch_stddev")])
@pytest.mark.parametrize("labels", [None, [3, 5, 3, 5]])
def test_nan_stays_in_its_group_and_share(backend: str, labels: list[int] | None) -> None:
    x = torch.randn(4, 4, 2, 2, device=device_of(backend))
    x[1, 3, 0, 1] = float("nan")
    classes = None if labels is None else torch.tensor(labels, device=x.device)
    y = ops.minibatch_stddev(x, 2, 2, labels=classes, backend=backend)
    assert torch.equal(y[:, :4], x) or y[:, :4].isnan().sum() == 1
    assert y[:, 4:].isnan().any((2, 3)).tolist() == [[False, False], [False, True]] * 2


@pytest.mark.parametrize("backend", backends_of("minibatch_stddev"))
def test_groups_within_a_class_compile(backend: str) -> None:
    x = torch.randn(6, 4, 2, 2, device=device_of(backend), requires_grad=True)
    labels = torch.tensor([1, 0, 1, 1, 0, 1], device=x.device)

    def call(x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return ops.minibatch_stddev(x, 2, labels=labels, backend=backend)

    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    for f in (compiled, call):
        y = f(x, labels)
        assert torch.equal(y, call(x, labels))
        (dx,) = torch.autograd.grad(y.square().sum(), [x])
        torch.testing.assert_close(dx, torch.autograd.grad(call(x, labels).square().sum(), [x])[0])


@pytest.mark.parametrize("backend", backends_of("modulate"))
@pytest.mark.parametrize(
    "settings",
    [{"gain": -1.7}, {"gain": 0.0}, {"alpha": -0.3}, {"act": "swish"}, {"act": "tanh", "gain": 1.3}],
    ids=str,
)
def test_modulate_composes_what_its_kernels_do_not_take(backend: str, settings: dict) -> None:
    sample = modulate_sample("composed", (2, 3, 4, 5), clamp=0.8, recover=True, **settings)
    for dtype in testing.FULL_PRECISION:
        testing.assert_matches_reference(sample, backend, dtype, device_of(backend))


# -------------------------------------------------------------------------------------------- contract mechanics


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Records (primitive, arguments) of every launch."""
    seen: list[tuple] = []
    find = primitive.launcher

    def recording(op: str, name: str, backend: str):
        fill = find(op, name, backend)

        def launch(*args):
            seen.append((name, args))
            return fill(*args)

        return launch

    monkeypatch.setattr(primitive, "launcher", recording)
    return seen


@pytest.mark.parametrize("route", testing.ROUTES)
@pytest.mark.parametrize("act", ["lrelu", "swish"])
def test_gradients_nobody_asked_for_are_not_computed(launches: list, route: str, act: str) -> None:
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    b = torch.randn(3, requires_grad=True)
    mode = testing.registered_route() if route == "registered" else torch.enable_grad()
    with mode:
        y = ops.bias_act(x, b, act=act, backend="cpu")
        (dx,) = torch.autograd.grad(y.square().sum(), [x], create_graph=True)
        (penalty_pass,) = [args for name, args in launches if name == "bias_act_grad"]
        assert penalty_pass[-3] is False, "the bias gradient was computed inside the penalty's pass"
        launches.clear()
        dx.square().sum().backward()
    assert b.grad is not None
    names = [name for name, _ in launches]
    assert names.count("bias_act_grad2") == (act == "swish"), "an activation without curvature has no second term"

    launches.clear()
    with mode if route == "registered" else torch.enable_grad():
        frozen = ops.bias_act(x.detach(), b.detach().requires_grad_(), act=act, backend="cpu")
        frozen.sum().backward()
    assert [name for name, _ in launches] == ["bias_act", "bias_act_grad"]


@pytest.mark.parametrize("route", testing.ROUTES)
def test_a_gradient_that_is_absent_is_not_replaced_by_zeros(launches: list, route: str) -> None:
    """A penalty of a piecewise linear network depends on no activation: no gradient runs through the network."""
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    w = torch.randn(3, 3, 3, 3, requires_grad=True)
    with testing.registered_route() if route == "registered" else torch.enable_grad():
        y = x
        for _ in range(2):
            y = ops.bias_act(torch.nn.functional.conv2d(y, w, padding=1), act="lrelu", backend="cpu")
        ops.r1(x, y).mean().backward()
    forward, inner, outer = ["bias_act"] * 2, ["bias_act_grad"] * 2, ["square_sum", "square_sum_grad", "bias_act_grad"]
    assert [name for name, _ in launches] == [*forward, *inner, *outer]


@pytest.mark.parametrize("route", testing.ROUTES)
def test_one_launch_for_each_order(launches: list, route: str) -> None:
    x = torch.randn(8, 4, 4, 4, requires_grad=True)
    with testing.registered_route() if route == "registered" else torch.enable_grad():
        y = ops.minibatch_stddev(x, backend="cpu")
        (dx,) = torch.autograd.grad(y.square().sum(), [x], create_graph=True)
        dx.square().sum().backward()
        assert [name for name, _ in launches] == [
            "minibatch_stddev", "minibatch_stddev_grad", "minibatch_stddev_grad2", "minibatch_stddev_grad"
        ]  # fmt: skip
        launches.clear()
        dy = torch.randn(y.shape, requires_grad=True)
        (dx,) = torch.autograd.grad(ops.minibatch_stddev(x, backend="cpu"), [x], dy, create_graph=True)
        torch.autograd.grad(dx.sum(), [dy])
    (second,) = [args for name, args in launches if name == "minibatch_stddev_grad2"]
    assert [len(t) for t in second[-2:]] == [8, 0], "the gradient of x was computed"


def test_no_gradient_no_graph(launches: list) -> None:
    y = ops.bias_act(torch.randn(2, 3), torch.randn(3), act="lrelu", backend="cpu")
    assert y.grad_fn is None
    with torch.no_grad():
        assert ops.bias_act(torch.randn(2, 3, requires_grad=True), act="lrelu", backend="cpu").grad_fn is None


@pytest.mark.parametrize("route", testing.ROUTES)
def test_modulate_sums_only_what_is_wanted(launches: list, route: str) -> None:
    x, z = torch.randn(2, 3, 4, 4, requires_grad=True), torch.randn(2, 1, 4, 4)
    s, b = torch.ones(2, 3, requires_grad=True), torch.randn(3, requires_grad=True)
    with testing.registered_route() if route == "registered" else torch.enable_grad():
        y = ops.modulate(x, s, noise=z, b=b, act="lrelu", backend="cpu")
        for wanted, sums, reads_x in (([x], False, False), ([s], True, True), ([x, b], True, False)):
            launches.clear()
            torch.autograd.grad(y.sum(), wanted, retain_graph=True)
            ((name, args),) = launches
            assert (name, args[4] is not None, args[-3]) == ("modulate_grad", reads_x, sums)


@pytest.mark.parametrize("act", ["linear", "lrelu"])
@pytest.mark.parametrize("recover", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_modulate_keeps_what_it_reads(act: str, recover: bool, learned: bool) -> None:
    """y where the activation or a recovered style needs it, x where a style does."""
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    s = torch.ones(2, 3, requires_grad=learned)
    saved = set()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.add(t.data_ptr()) or t, lambda t: t):
        y = ops.modulate(x, s, act=act, recover=recover, backend="cpu")
    kept_y = act == "lrelu" or (recover and learned)
    assert (x.data_ptr() in saved, y.data_ptr() in saved) == (learned and not recover, kept_y)


@pytest.mark.parametrize("recover", [False, True])
def test_modulate_compiles_without_graph_breaks(recover: bool) -> None:
    shapes = ((2, 3, 6, 6), (2, 3), (), (3,))
    x, s, strength, b = (torch.rand(shape).add(0.5).requires_grad_() for shape in shapes)
    noise = torch.randn(2, 1, 6, 6)

    def layer(x: torch.Tensor, s: torch.Tensor, strength: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return ops.modulate(x, s, noise=noise, strength=strength, b=b, act="lrelu", recover=recover, backend="cpu")

    tensors = (x, s, strength, b)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for mine, true in zip(
        torch.autograd.grad(compiled(*tensors).square().sum(), tensors),
        torch.autograd.grad(layer(*tensors).square().sum(), tensors),
        strict=True,
    ):
        torch.testing.assert_close(mine, true)


@pytest.mark.parametrize("act", ["lrelu", "swish"])
def test_piecewise_linear_activations_do_not_keep_their_input(act: str) -> None:
    saved = []
    x = torch.randn(2, 3, 4, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.data_ptr()) or t, lambda t: t):
        y = ops.bias_act(x, act=act, backend="cpu")
    assert saved == [y.data_ptr() if act == "lrelu" else x.data_ptr()]


@pytest.mark.parametrize("route", testing.ROUTES)
def test_third_order_is_an_error_and_works_with_the_reference(route: str) -> None:
    def third(backend: str) -> torch.Tensor:
        g = x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
        g = ops.bias_act(x, act="softplus", backend=backend)
        for _ in range(3):
            (g,) = torch.autograd.grad(g.sum(), [x], create_graph=True)
        return g

    with testing.registered_route() if route == "registered" else torch.enable_grad():
        assert third("reference").abs().sum() > 0
        with pytest.raises(RuntimeError, match=r"bias_act_grad2 has no gradient.*backend='reference'"):
            third("cpu").sum().backward()


def test_upfirdn2d_has_every_order() -> None:
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    f = ops.setup_filter([1, 3, 3, 1])
    for backend in backends_of("upfirdn2d"):
        g = ops.upsample2d(x, f, backend=backend).square().sum() ** 2
        for _ in range(4):
            (g,) = torch.autograd.grad(g.sum(), [x], create_graph=True)
        true = ops.upsample2d(x, f, backend="reference").square().sum() ** 2
        for _ in range(4):
            (true,) = torch.autograd.grad(true.sum(), [x], create_graph=True)
        torch.testing.assert_close(g, true)


@pytest.mark.parametrize("route", testing.ROUTES)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
def test_square_sum_and_interpolate_have_every_order(route: str, layout: str) -> None:
    a, b = (testing.LAYOUTS[layout](torch.randn(3, 2, 3, 4, dtype=torch.float64)).requires_grad_() for _ in range(2))
    seed = torch.tensor([1, 2])

    def fourth(backend: str) -> list[torch.Tensor]:
        g = ops.square_sum(ops.interpolate(a, b, seed, backend=backend), backend=backend).square()
        for _ in range(3):
            (g,) = torch.autograd.grad(g.sum(), [a], create_graph=True)
        return [g, *torch.autograd.grad(g.sum(), [a, b])]

    with testing.registered_route() if route == "registered" else torch.enable_grad():
        for backend in backends_of("square_sum"):
            for mine, true in zip(fourth(backend), fourth("reference"), strict=True):
                torch.testing.assert_close(mine, true)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
def test_dense_samples_are_not_copied(launches: list, layout: str) -> None:
    x = testing.LAYOUTS[layout](torch.randn(3, 2, 3, 4)).requires_grad_()
    p = ops.square_sum(x, backend="cpu")
    (dx,) = torch.autograd.grad(p.sum(), [x])
    assert [args[0 if name == "square_sum" else 1].data_ptr() for name, args in launches] == [x.data_ptr()] * 2
    assert dx.stride() == x.stride()


@pytest.mark.parametrize("backend", backends_of("square_sum"))
def test_opcheck_square_sum(backend: str) -> None:
    x, y = (torch.randn(3, 2, 4, device=device_of(backend), requires_grad=True) for _ in range(2))
    v = torch.randn(3, device=x.device, requires_grad=True)
    for op, args in (
        (_square_sum, (x, None, 1.0, backend)),
        (_square_sum, (x, y, 2.0, backend)),
        (_square_sum_grad, (v, x, 2.0, backend)),
    ):
        assert set(opcheck(op.registered, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", backends_of("interpolate"))
def test_opcheck_interpolate(backend: str) -> None:
    a, b = (torch.randn(3, 2, 4, device=device_of(backend), requires_grad=True) for _ in range(2))
    seed = torch.tensor([1, 2], device=a.device)
    for op, args in (
        (_interpolate, (a, b, seed, backend)),
        (_interpolate_grad, (a, seed, True, True, backend)),
        (_interpolate_grad, (a, seed, False, True, backend)),
    ):
        assert set(opcheck(op.registered, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", backends_of("bias_act"))
@pytest.mark.parametrize("act", ["linear", "lrelu", "swish"])
def test_opcheck_bias_act(backend: str, act: str) -> None:
    x = torch.randn(2, 3, 4, 4, device=device_of(backend))
    b = torch.randn(3, device=x.device)
    noise = torch.randn(2, 1, 4, 4, device=x.device)
    settings = (1, act, 0.2, 1.3, 0.9)
    wanted = [t.clone().requires_grad_() for t in (x, b, noise)]
    calls = [
        (_bias_act, (*wanted, *settings, backend)),
        (_bias_act, (x.clone().requires_grad_(), None, None, *settings, backend)),
        (_bias_act_grad, (x, x.clone(), None, *settings, act != "swish", True, backend)),
        (_bias_act_grad2, (x, x.clone(), x.clone(), b, *settings, True, backend)),
    ]
    for op, args in calls:
        assert set(opcheck(op.registered, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", backends_of("grid_sample"))
def test_opcheck_grid_sample(backend: str) -> None:
    x = torch.randn(2, 3, 5, 4, device=device_of(backend), requires_grad=True)
    grid = torch.rand(2, 3, 2, 2, device=x.device, requires_grad=True)
    along = torch.rand(2, 3, 2, 2, device=x.device, requires_grad=True)
    dy = torch.randn(2, 3, 3, 2, device=x.device, requires_grad=True)
    for op, args in (
        (_grid_sample, (x, grid, None, False, backend)),
        (_grid_sample, (x, grid, along, True, backend)),
        (_grid_sample_adjoint, (dy, grid, None, 5, 4, False, backend)),
        (_grid_sample_adjoint, (dy, grid, along, 5, 4, False, backend)),
        (_grid_sample_grid_grad, (dy, x, grid, None, False, backend)),
        (_grid_sample_grid_grad, (dy.detach(), x.detach(), grid.detach(), along.detach(), False, backend)),
    ):
        assert set(opcheck(op.registered, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", backends_of("minibatch_stddev"))
@pytest.mark.parametrize("grouped", [False, True])
def test_opcheck_minibatch_stddev(backend: str, grouped: bool) -> None:
    x = torch.randn(4, 6, 2, 3, device=device_of(backend))
    groups = _class_groups(torch.tensor([1, 0, 1, 1], device=x.device), 2) if grouped else (None, None)
    dy = _minibatch_stddev(x, *groups, 2, 2, backend)
    calls = [
        (_minibatch_stddev, (x.clone().requires_grad_(), *groups, 2, 2, backend)),
        (_minibatch_stddev_grad, (dy, x.clone().requires_grad_(), *groups, 2, 2, backend)),
        (_minibatch_stddev_grad2, (x, dy, x.clone(), *groups, 2, 2, True, True, backend)),
        (_minibatch_stddev_grad2, (x, dy, x.clone(), *groups, 2, 2, False, True, backend)),
    ]
    for op, args in calls:
        assert set(opcheck(op.registered, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", backends_of("modulate"))
@pytest.mark.parametrize("recover", [False, True])
def test_opcheck_modulate(backend: str, recover: bool) -> None:
    x, y, dy, w = (torch.randn(2, 3, 4, 5, device=device_of(backend)) for _ in range(4))
    s, b, strength = (torch.rand(n, device=x.device) + 1 for n in ((2, 3), (3,), ()))
    noise, r = torch.randn(2, 1, 4, 5, device=x.device), torch.randn(3, 2, 3, device=x.device)
    settings = ("lrelu", 0.2, 1.3, 0.9, recover)
    calls = [
        (_modulate, (*(t.clone().requires_grad_() for t in (x, s, noise, strength, b)), *settings, backend)),
        (_modulate, (x.clone().requires_grad_(), None, None, None, None, *settings, backend)),
        (_modulate_grad, (dy, y, s, noise, x.clone().requires_grad_(), *settings, True, backend)),
        (_modulate_grad, (dy.clone().requires_grad_(), y, None, None, None, *settings, False, backend)),
        (_modulate_tangent, (dy, w, y, s, r, noise, x, *settings, backend)),
    ]
    for op, args in calls:
        assert set(opcheck(op.registered, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", backends_of("upfirdn2d"))
def test_opcheck_upfirdn2d(backend: str) -> None:
    x = torch.randn(2, 3, 5, 6, device=device_of(backend), requires_grad=True)
    f = ops.setup_filter([1, 3, 3, 1], device=x.device)
    args = (x, f, [2, 1], [1, 2], [2, 1, 1, 1], False, 2.0, backend)
    assert set(opcheck(_upfirdn2d.registered, args).values()) == {"SUCCESS"}


def fused_backends() -> list[str]:
    """Of filtered_lrelu; the others compose it."""
    return [b for b in backends_of("filtered_lrelu") if has_kernel("filtered_lrelu", b)]


@pytest.mark.parametrize("backend", fused_backends())
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_opcheck_filtered_lrelu(backend: str, memory_format: torch.memory_format) -> None:
    x = torch.randn(2, 3, 5, 6, device=device_of(backend)).contiguous(memory_format=memory_format)
    b = torch.randn(3, device=x.device, requires_grad=True)
    f = ops.setup_filter([1, 3, 3, 1], device=x.device)
    resampling = (f, f, 2, 1, [2, 1, 3, 2])
    settings = (1.3, 0.2, 0.9, False, True)
    _, signs = _filtered_lrelu(x, b.detach(), *resampling, *settings, backend)
    assert not signs.requires_grad
    assert set(
        opcheck(_filtered_lrelu.registered, (x.clone().requires_grad_(), b, *resampling, *settings, backend)).values()
    ) == {"SUCCESS"}
    args = (x.clone().requires_grad_(), signs, *resampling, [0, 0], 1.3, 0.2, False, backend)
    assert set(opcheck(_filtered_lrelu_grad.registered, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", fused_backends())
def test_filtered_lrelu_keeps_two_bits_a_sample(backend: str) -> None:
    """Of what the second filter meets, and neither x nor y; without a gradient not even those."""
    x = torch.randn(2, 3, 8, 12, device=device_of(backend), requires_grad=True)
    f = ops.setup_filter([1, 3, 3, 1] * 2, device=x.device)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        y = ops.filtered_lrelu(x, f, f, up=2, down=2, padding=7, backend=backend)
    (signs,) = [t for t in saved if t.ndim == 4]
    rows, columns = ((n - 1) * 2 + 8 for n in y.shape[2:])
    assert signs.dtype == torch.uint8
    assert signs.shape == (2, 3, rows, -(-columns // 4))
    with torch.no_grad():
        assert ops.filtered_lrelu(x, f, f, up=2, down=2, padding=7, backend=backend).grad_fn is None


@pytest.mark.parametrize("backend", fused_backends())
def test_filtered_lrelu_compiles_without_graph_breaks(backend: str) -> None:
    x = torch.randn(2, 3, 6, 6, device=device_of(backend), requires_grad=True)
    b = torch.randn(3, device=x.device, requires_grad=True)
    f = ops.setup_filter([1, 3, 3, 1], device=x.device)

    def layer(x: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return ops.filtered_lrelu(x, f, f, b, up=2, down=2, padding=3, clamp=1.0, backend=backend)

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for mine, true in zip(
        torch.autograd.grad(compiled(x, b).square().sum(), [x, b]),
        torch.autograd.grad(layer(x, b).square().sum(), [x, b]),
        strict=True,
    ):
        torch.testing.assert_close(mine, true)


@pytest.mark.parametrize("backend", backends_of("upfirdn2d"))
def test_compiles_without_graph_breaks(backend: str) -> None:
    device = device_of(backend)
    f = ops.setup_filter([1, 3, 3, 1], device=device)

    def layer(x: torch.Tensor, w: torch.Tensor, s: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return ops.modulated_conv2d(x, w, s, b=b, act="lrelu", clamp=2, up=2, padding=1, f=f, backend=backend)

    shapes = ((2, 3, 6, 6), (4, 3, 3, 3), (2, 3), (4,))
    tensors = [torch.randn(s, device=device, requires_grad=True) for s in shapes]
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for mine, true in zip(
        torch.autograd.grad(compiled(*tensors).square().sum(), tensors),
        torch.autograd.grad(layer(*tensors).square().sum(), tensors),
        strict=True,
    ):
        torch.testing.assert_close(mine, true)


@pytest.mark.parametrize("backend", backends_of("bias_act"))
def test_compiles_in_half_precision_with_a_clamp(backend: str) -> None:
    x = torch.randn(2, 3, 4, 4, device=device_of(backend), dtype=torch.float16)
    compiled = torch.compile(lambda x: ops.bias_act(x, clamp=0.7, backend=backend), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), ops.bias_act(x, clamp=0.7, backend=backend))


def test_shape_rule_serves_fake_tensors() -> None:
    with torch._subclasses.FakeTensorMode():
        x = torch.empty(2, 3, 8, 9)
        f = torch.empty(4, 4)
        assert ops.upfirdn2d(x, f, up=2, padding=3, backend="cpu").shape == (2, 3, 19, 21)
        assert ops.bias_act(x, act="lrelu", backend="cpu").shape == x.shape


def test_functorch_takes_the_reference_and_says_so() -> None:
    x = torch.randn(2, 3, dtype=torch.float64)

    def loss(x: torch.Tensor, backend: str | None) -> torch.Tensor:
        return ops.bias_act(x, act="swish", backend=backend).sum()

    leaf = x.clone().requires_grad_()
    (true,) = torch.autograd.grad(loss(leaf, "cpu"), [leaf])
    torch.testing.assert_close(torch.func.grad(loss)(x, None), true)
    with pytest.raises(RuntimeError, match=r"torch\.func.*backend='reference'"):
        torch.func.grad(loss)(x, "cpu")


def test_gradient_of_a_filter_needs_the_reference() -> None:
    x = torch.randn(1, 1, 4, 4)
    f = torch.randn(3, 3, requires_grad=True)
    ops.upfirdn2d(x, f).sum().backward()
    assert f.grad is not None
    with pytest.raises(RuntimeError, match="no gradient of f"):
        ops.upfirdn2d(x, f, backend="cpu")
