"""Gradient penalties: their gradients in the weights of small networks, where they work, and what they cost."""

import functools
import inspect
import itertools
import socket
import types
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gan_fast import layers, ops
from gan_fast.models import stylegan2
from gan_fast.ops import gradient_penalty

PAGE = Path(__file__).resolve().parents[2] / "docs" / "penalties.md"
N, SIDE, CLASSES, Z = 8, 8, 10, 8
KIND, DTYPE = "stylegan2", torch.float64  # where one is enough
LIMITS = {torch.float64: 1e-10, torch.float32: 1e-5}  # of the gradients' distance from the truth, relative to its norm
SIGMA, MEAN = 0.5, 0.3
# of the norms, near the middle of those that the network has
TARGETS = {"mlp-lrelu": 0.9, "mlp-swish": 0.78, "dcgan": 0.5, "stylegan2": 0.07}


class Discriminator(nn.Module):
    """Of vectors, or of images with strided convolutions (DCGAN)."""

    def __init__(self, act: str, convolutional: bool) -> None:
        super().__init__()
        self.act = act
        sizes = (1, 6, 8) if convolutional else ()
        self.convs = nn.ModuleList([nn.Conv2d(i, o, 4, 2, 1, bias=False) for i, o in itertools.pairwise(sizes)])
        self.biases = nn.ParameterList([torch.randn(o) for o in sizes[1:]])
        self.hidden = layers.EqualizedLinear(8 * 4 if convolutional else SIDE**2, 12, activation=act)
        self.out = layers.EqualizedLinear(12, CLASSES)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        for conv, b in zip(self.convs, self.biases, strict=True):
            x = ops.bias_act(conv(x), b, act=self.act)
        return (self.out(self.hidden(x.flatten(1))) * c).sum(1, keepdim=True)


class Generator(nn.Module):
    def __init__(self, act: str, convolutional: bool) -> None:
        super().__init__()
        self.convolutional = convolutional
        self.mapping = layers.EqualizedLinear(Z + CLASSES, Z, activation=act)
        self.hidden = layers.EqualizedLinear(Z, 4 * 16, activation=act)
        self.out = nn.ConvTranspose2d(4, 1, 4, 2, 1) if convolutional else layers.EqualizedLinear(64, SIDE**2)

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        ws = self.mapping(torch.cat([z, c], 1))
        x = self.hidden(ws)
        return ws, self.out(x.reshape(-1, 4, 4, 4) if self.convolutional else x).reshape(-1, 1, SIDE, SIDE)


class Synthesis(nn.Module):
    """StyleGAN2's generator, its latents handed out."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        ws = self.generator.mapping(z, c)
        return ws, self.generator.synthesis(ws, noise_mode="const")


def networks(kind: str, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """The same D and G at every call, with no parameter at zero."""
    torch.manual_seed(0)
    if kind == "stylegan2":
        tiny = {"img_resolution": SIDE, "channel_base": 64, "channel_max": 8, "z_dim": Z, "w_dim": Z}
        tiny |= {"num_layers": 1, "d_num_layers": 1}
        g, d = stylegan2.build("digits", **tiny)
        pair = d, Synthesis(g)
    else:
        act = "swish" if kind == "mlp-swish" else "lrelu"
        pair = Discriminator(act, kind == "dcgan"), Generator(act, kind == "dcgan")
    with torch.no_grad():
        for p in itertools.chain(*(network.parameters() for network in pair)):
            p.add_(0.1 * torch.randn_like(p))
    return tuple(network.to(dtype) for network in pair)


class Batch(NamedTuple):
    real: Tensor
    fake: Tensor
    z: Tensor
    c: Tensor
    seed: Tensor
    target: float

    @classmethod
    def of(cls, kind: str, dtype: torch.dtype, number: int = 0) -> "Batch":
        generator = torch.Generator().manual_seed(number)
        images, z = torch.randn(2, N, 1, SIDE, SIDE, generator=generator), torch.randn(N, Z, generator=generator)
        c = F.one_hot(torch.arange(N) % 3, CLASSES)
        return cls(*(t.to(dtype) for t in (*images, z, c)), torch.tensor([5, number]), TARGETS[kind])

    def of_rank(self, rank: int) -> "Batch":
        """Every second sample, so that groups of minibatch stddev are whole; and numbers of its own."""
        return Batch(*(t[rank::2] for t in self[:4]), self.seed + torch.tensor([0, rank]), self.target)


class Penalties:
    """Each penalty of a batch, [N], by the functions of a module; `output` is the last one of the network."""

    def __init__(self, d: Callable, g: Callable, batch: Batch, penalties: types.ModuleType = gradient_penalty) -> None:
        self.d, self.g, self.batch, self.penalties = d, g, batch, penalties

    def D(self, x: Tensor) -> Tensor:
        self.output = self.d(x, self.batch.c)
        return self.output

    def r1(self) -> Tensor:
        x = self.batch.real.clone().requires_grad_()
        return self.penalties.r1(x, self.D(x))

    def r2(self) -> Tensor:
        x = self.batch.fake.clone().requires_grad_()
        return self.penalties.r2(x, self.D(x))

    def wgan_gp(self) -> Tensor:
        return self.penalties.wgan_gp(self.D, self.batch.real, self.batch.fake, self.batch.seed)

    def wgan_gp_one_sided(self) -> Tensor:
        return self.penalties.wgan_gp(
            self.D, self.batch.real, self.batch.fake, self.batch.seed, self.batch.target, True
        )

    def zero_centred_gp(self) -> Tensor:
        return self.penalties.zero_centred_gp(self.D, self.batch.real, self.batch.fake, self.batch.seed)

    def dragan(self) -> Tensor:
        return self.penalties.dragan(self.D, self.batch.real, self.batch.seed, SIGMA, self.batch.target)

    def finite_difference_r1(self) -> Tensor:
        logits = self.D(self.batch.real)
        return self.penalties.finite_difference_r1(self.D, self.batch.real, logits, self.batch.seed, SIGMA)

    def path_length(self, batch_mean: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        ws, self.output = self.g(self.batch.z, self.batch.c)
        lengths = self.penalties.path_length(ws, self.output, self.batch.seed)
        of_all = None if batch_mean is None else batch_mean(lengths.detach())
        return self.penalties.path_length_penalty(lengths, lengths.new_full([], MEAN), batch_mean=of_all)[0]


NAMES = [name for name, _ in inspect.getmembers(Penalties, inspect.isfunction) if name not in ("__init__", "D")]


class Formulas(Penalties):
    """The same from the equations, in plain PyTorch; only random numbers are taken from the ops."""

    def gradient(self, x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        return torch.autograd.grad(self.D(x).sum(), [x], create_graph=True)[0].flatten(1)

    def between(self) -> Tensor:
        return ops.interpolate(self.batch.real, self.batch.fake, self.batch.seed)

    def around(self) -> Tensor:
        return self.batch.real + SIGMA * self.noise_like(self.batch.real)

    def noise_like(self, x: Tensor) -> Tensor:
        return ops.noise(x.shape, self.batch.seed, x.new_ones([]))

    def r1(self) -> Tensor:
        return (self.gradient(self.batch.real) ** 2).sum(1)

    def r2(self) -> Tensor:
        return (self.gradient(self.batch.fake) ** 2).sum(1)

    def wgan_gp(self) -> Tensor:
        return (self.gradient(self.between()).norm(dim=1) - 1) ** 2

    def wgan_gp_one_sided(self) -> Tensor:
        return F.relu(self.gradient(self.between()).norm(dim=1) - self.batch.target) ** 2

    def zero_centred_gp(self) -> Tensor:
        return (self.gradient(self.between()) ** 2).sum(1)

    def dragan(self) -> Tensor:
        return (self.gradient(self.around()).norm(dim=1) - self.batch.target) ** 2

    def finite_difference_r1(self) -> Tensor:
        return ((self.D(self.around()) - self.D(self.batch.real)).flatten(1).sum(1) / SIGMA) ** 2

    def path_length(self) -> Tensor:
        ws, images = self.g(self.batch.z, self.batch.c)
        y = self.noise_like(images) / SIDE
        (g,) = torch.autograd.grad((images * y).sum(), [ws], create_graph=True)
        lengths = (g**2).sum(-1).reshape(N, -1).mean(1).sqrt()
        return (lengths - (0.99 * MEAN + 0.01 * lengths.detach().mean())) ** 2


def flat(network: nn.Module, grads: tuple[Tensor | None, ...]) -> Tensor:
    """Gradients of all parameters as one vector."""
    return torch.cat([
        (torch.zeros_like(p) if g is None else g).detach().flatten()
        for p, g in zip(network.parameters(), grads, strict=True)
    ])  # fmt: skip


def gradients(name: str, pair: tuple[nn.Module, nn.Module], penalties: Penalties) -> Tensor:
    """Of the penalty's mean, in the weights of its network."""
    network = pair[name == "path_length"]
    loss = getattr(penalties, name)().mean()
    return flat(network, torch.autograd.grad(loss, list(network.parameters()), allow_unused=True))


@functools.cache
def truth(name: str, kind: str, dtype: torch.dtype, number: int = 0) -> Tensor:
    """Of the equations, on the reference backend in float64, with weights and images as `dtype` has them."""
    pair = tuple(network.double() for network in networks(kind, dtype))
    batch = Batch.of(kind, dtype, number)
    batch = Batch(*(t.double() for t in batch[:4]), *batch[4:])
    with ops.use_backend("reference"):
        return gradients(name, pair, Formulas(*pair, batch))


def distance(got: Tensor, true: Tensor) -> float:
    return ((got.double() - true).norm() / true.norm()).item()


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_the_weights(name: str, kind: str, dtype: torch.dtype) -> None:
    pair = networks(kind, dtype)
    got = gradients(name, pair, Penalties(*pair, Batch.of(kind, dtype)))
    assert distance(got, truth(name, kind, dtype)) <= LIMITS[dtype]


# ------------------------------------------------------------------------------------------- what the checks notice

BUGS = {
    "gradient cut off": ("create_graph=True, allow_unused=True)\n", "allow_unused=True)\n        g.requires_grad_()\n"),
    "root forgotten": ("_root(squared_norms) -", "squared_norms -"),
    "target lost": ("- arguments.real(\"target\", target)", "- 1.0"),
    "both sides": ("if one_sided", "if False"),
    "mean of the batch differentiated": ("decay).detach()", "decay)"),
    "moving mean stands": ("to(mean.dtype), decay)", "to(mean.dtype), 0.0)"),
    "direction not normalised": ("1 / math.sqrt(math.prod(images.shape[2:]))", "1.0"),
    "layers summed": (" / math.prod(g.shape[1:-1])", ""),
    "step not divided out": ("(difference / sigma)", "difference"),
    "noise of unit size": ("x.new_full([], sigma)", "x.new_full([], 1.0)"),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_noticed(bug: str) -> None:
    old, new = BUGS[bug]
    source = inspect.getsource(gradient_penalty)
    assert old in source, f"the module no longer holds {old!r}"
    mutant = types.ModuleType("mutant")
    exec(compile(source.replace(old, new), "mutant", "exec"), vars(mutant))
    pair = networks(KIND, DTYPE)

    def wrong(name: str) -> bool:
        penalties = Penalties(*pair, Batch.of(KIND, DTYPE), mutant)
        return not distance(gradients(name, pair, penalties), truth(name, KIND, DTYPE)) <= LIMITS[DTYPE]

    assert any(wrong(name) for name in NAMES)


def test_values_are_one_for_each_sample_in_full_precision() -> None:
    for dtype in LIMITS:
        pair, batch = networks(KIND, dtype), Batch.of(KIND, dtype)
        for name in NAMES:
            got = getattr(Penalties(*pair, batch), name)()
            assert (got.shape, got.dtype) == ((N,), dtype)
            if dtype == torch.float64:
                torch.testing.assert_close(got, getattr(Formulas(*pair, batch), name)())
    x = torch.randn(3, 2, dtype=torch.bfloat16, requires_grad=True)
    assert ops.r1(x, x.square().sum(1)).dtype == torch.float32


def test_maps_count_as_their_sum() -> None:
    x = torch.randn(3, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(ops.r1(x, x.square()), (2 * x).square().sum([1, 2, 3]))
    seed, sigma = torch.tensor([1, 2]), 1e-4
    p = ops.finite_difference_r1(lambda x: 3 * x, x, 3 * x, seed, sigma)
    torch.testing.assert_close(p, (3 * ops.noise(x.shape, seed, x.new_ones([])).sum([1, 2, 3])).square())


def test_a_gradient_of_zero_has_no_slope() -> None:
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    x = torch.randn(3, 5, dtype=torch.float64)
    p = ops.wgan_gp(lambda x: x @ w, x, x + 1, torch.tensor([1, 2]))
    assert torch.equal(p, torch.ones_like(p))
    p.sum().backward()
    assert torch.equal(w.grad, torch.zeros_like(w))


def test_finite_difference_is_r1_in_the_mean() -> None:
    """Of many directions, within four of their standard errors; sqrt(2) |g|^2 is what one deviates."""
    w = torch.randn(6, dtype=torch.float64)
    x = torch.randn(1, 6, dtype=torch.float64).expand(20000, 6)
    p = ops.finite_difference_r1(lambda x: x @ w, x, x @ w, torch.tensor([3, 1]))
    true = w.square().sum()
    assert abs(p.mean() - true) < 4 * 2**0.5 * true / 20000**0.5
    assert abs(p.std() / (2**0.5 * true) - 1) < 0.1


def test_moving_mean_of_path_lengths() -> None:
    lengths = torch.tensor([1.0, 3.0], requires_grad=True)
    p, a = ops.path_length_penalty(lengths, torch.tensor(0.0))
    assert a.item() == pytest.approx(0.02)
    assert not a.requires_grad
    assert p.tolist() == pytest.approx([0.98**2, 2.98**2])
    _, a = ops.path_length_penalty(lengths, a, decay=0.5, batch_mean=torch.tensor(10.0))
    assert a.item() == pytest.approx(5.01)


class Watched(torch.autograd.Function):
    """A weight, unchanged; counts the gradients that reach it."""

    gradients = 0

    @staticmethod
    def forward(ctx, w: Tensor) -> Tensor:
        return w.clone()

    @staticmethod
    def backward(ctx, dw: Tensor) -> Tensor:
        Watched.gradients += 1
        return dw


def test_the_inner_pass_computes_no_gradient_of_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    d, _ = networks("dcgan", DTYPE)
    for layer in (*d.convs, d.hidden, d.out):
        w = layer.weight
        del layer.weight
        layer.weight = Watched.apply(w)
    monkeypatch.setattr(Watched, "gradients", 0)
    p = Penalties(d, None, Batch.of("dcgan", DTYPE)).r1()
    assert Watched.gradients == 0
    p.sum().backward()
    assert Watched.gradients == len(d.convs) + 2


# ------------------------------------------------------------------------------------------------------------ errors


def test_errors_name_the_argument_and_the_way_out() -> None:
    d = nn.Linear(4, 1)
    x = torch.randn(3, 4)
    leaf = x.clone().requires_grad_()
    seed = torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"x: does not require a gradient; call x.requires_grad_\(\)"):
        ops.r1(x, d(x))
    with pytest.raises(ValueError, match="logits: do not depend on x"):
        ops.r2(leaf, d(x))
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"under torch.no_grad\(\)"):
        ops.r1(leaf, d(leaf))
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"under torch.no_grad\(\)"):
        ops.wgan_gp(d, x, x, seed)
    with pytest.raises(ValueError, match=r"D\(x\): do not depend on x"):
        ops.wgan_gp(lambda x: d(x.detach()), x, x, seed)
    with pytest.raises(ValueError, match=r"b: got torch.float32 \(2, 4\), takes torch.float32 \(3, 4\)"):
        ops.wgan_gp(d, x, x[:2], seed)
    with pytest.raises(ValueError, match="target: got inf, takes a finite number"):
        ops.wgan_gp(d, x, x, seed, target=float("inf"))
    with pytest.raises(ValueError, match="sigma: got 0, takes a positive number"):
        ops.dragan(d, x, seed, sigma=0)
    with pytest.raises(ValueError, match=r"logits: got \(3,\), takes \(3, 1\), as D returns"):
        ops.finite_difference_r1(d, x, d(x)[:, 0], seed)
    with pytest.raises(ValueError, match="ws: does not require a gradient"):
        ops.path_length(x, x[:, :, None, None], seed)
    with pytest.raises(ValueError, match="seed: got 3, takes an int64 tensor"):
        ops.path_length(leaf, leaf[:, :, None, None], 3)


def test_a_compiled_network_before_the_latents_is_no_obstacle() -> None:
    mapping = torch.compile(nn.Linear(4, 4), backend="aot_eager")
    ws = mapping(torch.randn(3, 4))
    lengths = ops.path_length(ws, ws.square()[:, :, None, None], torch.tensor([0, 1]))
    lengths.sum().backward()
    assert mapping.weight.grad.abs().sum() > 0


# ------------------------------------------------------------------------------- docs/penalties.md is what is measured


def verdict(name: str, call: Callable[[], Tensor], kind: str = KIND, dtype: torch.dtype = DTYPE) -> str:
    try:
        return "equal" if distance(call(), truth(name, kind, dtype)) <= LIMITS[dtype] else "WRONG"
    except (RuntimeError, ValueError, torch._dynamo.exc.TorchDynamoException) as error:
        return "refused" if "penalty is a compiled function" in str(error) else "error"


def compiled(function: Callable[[], Tensor], trace_autograd_ops: bool = True) -> Tensor:
    torch._dynamo.reset()
    with torch._dynamo.config.patch(trace_autograd_ops=trace_autograd_ops):
        return torch.compile(function, fullgraph=True, backend="aot_eager")()


def in_eager(name: str) -> str:
    pair = networks(KIND, DTYPE)
    return verdict(name, lambda: gradients(name, pair, Penalties(*pair, Batch.of(KIND, DTYPE))))


def in_autocast(name: str) -> str:
    """At most twice as far from the truth as the reference backend, as the contract has it: in the mean of batches."""
    pair = networks(KIND, torch.float32)

    def error(batch: int) -> float:
        with torch.autocast("cpu", torch.bfloat16):
            got = gradients(name, pair, Penalties(*pair, Batch.of(KIND, torch.float32, batch)))
        return distance(got, truth(name, KIND, torch.float32, batch))

    mine = sum(map(error, range(16)))
    with ops.use_backend("reference"):
        return "rounded" if mine <= 2 * sum(map(error, range(16))) else "WRONG"


def in_a_compiled_phase(name: str) -> str:
    pair = networks(KIND, DTYPE)
    batch = Batch.of(KIND, DTYPE)
    return verdict(name, lambda: compiled(lambda: gradients(name, pair, Penalties(*pair, batch))))


def with_compiled_networks(name: str) -> str:
    pair = networks(KIND, DTYPE)
    torch._dynamo.reset()
    calls = [torch.compile(network, backend="aot_eager") for network in pair]
    return verdict(name, lambda: gradients(name, pair, Penalties(*calls, Batch.of(KIND, DTYPE))))


def mean_over_ranks(t: Tensor) -> Tensor:
    dist.all_reduce(t)
    return t / dist.get_world_size()


def over_ranks(name: str, how: str, rank: int, joint: Tensor) -> str:
    """One step more than one, as DistributedDataParallel complains at the next."""
    pair = networks(KIND, DTYPE)
    network = pair[name == "path_length"]
    calls = list(pair)
    if how != "all-reduce":
        calls[name == "path_length"] = nn.parallel.DistributedDataParallel(network)
    try:
        for _ in range(2):
            network.zero_grad()
            penalties = Penalties(*calls, Batch.of(KIND, DTYPE).of_rank(rank))
            settings = {"batch_mean": lambda t: mean_over_ranks(t.mean())} if name == "path_length" else {}
            p = getattr(penalties, name)(**settings)
            if how == "DDP + 0 * output":
                p = p + 0 * penalties.output.flatten(1).sum(1)
            p.mean().backward()
    except RuntimeError as error:
        return "error" if "Expected to have finished reduction" in str(error) else repr(error)
    got = flat(network, tuple(p.grad for p in network.parameters()))
    if how == "all-reduce":
        got = mean_over_ranks(got)
    return "equal" if distance(got, joint) <= LIMITS[DTYPE] else "WRONG"


RANKS = ("all-reduce", "DDP", "DDP + 0 * output")


def rank_process(rank: int, port: int, joint: dict[str, Tensor], results: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    verdicts = {(name, how): over_ranks(name, how, rank, joint[name]) for name in joint for how in RANKS}
    dist.destroy_process_group()
    torch.save(verdicts, f"{results}/{rank}")


def joint_gradients(name: str) -> Tensor:
    """One process with the whole batch. Of penalties that draw numbers, each half with those of its rank."""
    pair, batch = networks(KIND, DTYPE), Batch.of(KIND, DTYPE)
    if name in ("r1", "r2"):
        return gradients(name, pair, Penalties(*pair, batch))
    halves = [Penalties(*pair, batch.of_rank(rank)) for rank in range(2)]
    settings = {}
    if name == "path_length":
        lengths = []
        for half in halves:
            half.path_length(batch_mean=lambda t: lengths.append(t) or t.mean())
        settings = {"batch_mean": lambda t: torch.cat(lengths).mean()}
    network = pair[name == "path_length"]
    loss = torch.cat([getattr(half, name)(**settings) for half in halves]).mean()
    return flat(network, torch.autograd.grad(loss, list(network.parameters()), allow_unused=True))


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What two processes found: verdicts by penalty and way of adding up their gradients."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    joint = {name: joint_gradients(name) for name in NAMES}
    torch.multiprocessing.spawn(rank_process, (port, joint, str(folder)), nprocs=2)
    return [torch.load(folder / str(rank)) for rank in range(2)]


@pytest.mark.exhaustive
def test_the_table_of_what_works(ranks: list[dict]) -> None:
    columns = {
        "eager": in_eager,
        "autocast": in_autocast,
        "compiled phase": in_a_compiled_phase,
        "compiled network": with_compiled_networks,
    }
    lines = [f"| | {' | '.join([*columns, *RANKS])} |", "|---" * (1 + len(columns) + len(RANKS)) + "|"]
    for name in NAMES:
        cells = [measure(name) for measure in columns.values()]
        for how in RANKS:
            assert ranks[0][name, how] == ranks[1][name, how], (name, how)
            cells.append(ranks[0][name, how])
        lines.append(f"| {name} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    assert "WRONG" not in table
    assert table in PAGE.read_text(), f"{PAGE} should hold\n{table}"


@pytest.mark.exhaustive
def test_the_table_of_ways_to_compile_r1() -> None:
    (d, _), batch = networks(KIND, DTYPE), Batch.of(KIND, DTYPE)
    weights = dict(d.named_parameters())

    def logits(w: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(d, w, (x, batch.c)).sum()

    def as_written() -> Tensor:
        return gradients("r1", (d, None), Penalties(d, None, batch))

    def functional() -> Tensor:
        def loss(w: dict[str, Tensor]) -> Tensor:
            return ops.square_sum(torch.func.grad(logits, 1)(w, batch.real)).mean()

        return flat(d, tuple(torch.func.grad(loss)(weights).values()))

    def forward_over_reverse() -> Tensor:
        def loss(w: dict[str, Tensor]) -> Tensor:
            g = torch.func.grad(logits, 1)(w, batch.real).detach()
            return 2 * torch.func.jvp(lambda x: logits(w, x), (batch.real,), (g,))[1] / N

        return flat(d, tuple(torch.func.grad(loss)(weights).values()))

    ways = {
        "the phase, with `trace_autograd_ops`": as_written,
        "the phase, without": as_written,
        "`torch.func.grad` twice": functional,
        "`torch.func.grad` of `torch.func.jvp` along the gradient": forward_over_reverse,
    }
    lines = ["| compiled | kernels | reference |", "|---|---|---|"]
    for way, function in ways.items():
        cells = []
        for backend in ("cpu", "reference"):
            with ops.use_backend(backend):
                cells.append(verdict("r1", lambda f=function, w=way: compiled(f, "without" not in w)))
        lines.append(f"| {way} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    assert "WRONG" not in table
    assert table in PAGE.read_text(), f"{PAGE} should hold\n{table}"


def test_the_table_of_costs() -> None:
    """Multiplications of convolutions, forward and backward, over those of the network forward."""
    x, seed = torch.randn(2, 8, 16, 16), torch.tensor([1, 2])
    weights = [(torch.randn(8, 8, 3, 3) / 8).requires_grad_() for _ in range(8)]

    activations = {
        "lrelu": functools.partial(ops.bias_act, act="lrelu"),
        "`F.leaky_relu`": functools.partial(F.leaky_relu, negative_slope=0.2),
        "swish": functools.partial(ops.bias_act, act="swish"),
    }

    def network(x: Tensor, act: str, s: Tensor | None = None) -> Tensor:
        for w in weights:
            x = activations[act](F.conv2d(x if s is None else x * s[:, :, None, None], w, padding=1))
        return x

    def flops(call: Callable[[], Tensor]) -> int:
        with FlopCounterMode(display=False) as counter:
            p = call()
            if p.requires_grad:
                p.mean().backward()
        return counter.get_total_flops()

    def rows(act: str) -> dict[str, Callable[[], Tensor]]:
        def d(x: Tensor) -> Tensor:
            return network(x, act).sum([1, 2, 3])

        def leaf() -> Tensor:
            return x.clone().requires_grad_()

        def shared(penalty: Callable[[Tensor, Tensor], Tensor], y: Tensor) -> Tensor:
            logits = d(y)
            return F.softplus(logits) + penalty(y, logits)

        def path_length() -> Tensor:
            s = torch.ones(2, 8, requires_grad=True)
            return ops.path_length(s, network(x, act, s), seed)

        finite = functools.partial(ops.finite_difference_r1, d)
        return {
            "the loss alone": lambda: d(x),
            "`r1`, `r2`": lambda: (lambda y: ops.r1(y, d(y)))(leaf()),
            "`r1` and the loss, sharing D(x)": lambda: shared(ops.r1, leaf()),
            "`wgan_gp`, `zero_centred_gp`, `dragan`": lambda: ops.wgan_gp(d, x, x + 1, seed),
            "`finite_difference_r1`": lambda: finite(x, d(x), seed),
            "`finite_difference_r1` and the loss, sharing D(x)": lambda: shared(
                lambda y, logits: finite(y, logits, seed), x
            ),
            "`path_length`": path_length,
        }

    with torch.no_grad():
        forward = flops(lambda: network(x, "lrelu"))
    lines = [f"| passes | {' | '.join(activations)} |", "|---|---|---|---|"]
    for name in rows("lrelu"):
        cells = [f"{flops(rows(act)[name]) / forward:.1f}" for act in activations]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    table = "\n".join(lines)
    assert table in PAGE.read_text(), f"{PAGE} should hold\n{table}"
