"""Phases as graphs. On a CPU a tape of PyTorch's calls, with the tensors they had, stands for CUDA's of kernels."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gan_fast import models
from gan_fast.training.capture import WARM_UP, CudaRecorder, Graphs
from gan_fast.training.engine import Engine
from gan_fast.training.recipe import Recipe

READS = {"_local_scalar_dense", "equal", "is_nonzero", "item", "masked_select", "nonzero", "unique_dim", "_unique2"}
STEPS = 3 * WARM_UP


class NoReads(TorchDispatchMode):
    """Refuses what waits for a device: a tensor's value, or a shape that depends on values."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = name.startswith("index") and any(t.dtype == torch.bool for t in args[1] if t is not None)
        assert name not in READS
        assert not masks, name
        return func(*args, **(kwargs or {}))


class Tape(TorchDispatchMode):
    """Keeps calls with their arguments, and makes them again, with results where they were: what a graph does."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        aliases = [r.alias_info for r in func._schema.returns]
        is_view = aliases and all(a is not None and not a.is_write for a in aliases)
        if not is_view and func.namespace != "profiler":
            self.calls.append((func, args, kwargs, out))
        return out

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for x, y in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(x, torch.Tensor) and x is not y:
                    once = tuple(slice(1 if step == 0 else None) for step in x.stride())  # of what is expanded
                    x[once].copy_(y[once])


class TapeRecorder:
    """Recording runs the calls, unlike capturing: so state is put back."""

    def __init__(self, engine):
        self.engine, self.recorded = engine, 0

    def run(self, function):
        return function()

    def record(self, function, generators):
        state = [t for t in tree_leaves(self.engine.state_dict()) if isinstance(t, torch.Tensor)]
        before = [t.clone() for t in state]
        random = [(g, g.get_state()) for g in (*generators, torch.default_generator)]
        tape = Tape()
        with tape, torch.autograd.set_multithreading_enabled(False):
            outputs = function()
        with torch.no_grad():
            torch._foreach_copy_(state, before)
        for generator, its_state in random:
            generator.set_state(its_state)
        self.recorded += 1
        return tape.replay, outputs


RECIPES = {
    "mixing": {"style_mixing": 0.5, "translate": 0.125, "mode_seeking": 0.01, "class_group": 2},
    "path length": {"path_length": 2.0, "path_length_interval": 2, "clip_weights": 1.0, "ema_extra_kimg": (0.1,)},
    "DiffAugment": {"augment": "color,translation,cutout", "penalty": "wgan_gp", "n_critic": 2},
    "dragan": {"penalty": "dragan", "objective": "relativistic", "precision": "bfloat16"},
    "optimistic, unrolled": {"optimizer": "optimistic_adam", "historical": 0.1, "unroll": 1},
    "ada": {"augment": "ada", "ada_groups": "bgcfnc", "ada_p": 0.5, "ada_interval": 1, "penalty": "r1+r2"},
}


TINY = {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}


def networks(device):
    torch.manual_seed(1)
    return [net.to(device) for net in models.build(models.preset("digits", **TINY))]


@pytest.fixture(params=RECIPES)
def recipe(request):
    return Recipe(**{"penalty_interval": 2, **RECIPES[request.param]})


def batches(device, count):
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        x, labels = torch.rand(8, 1, 8, 8, generator=generator) * 2 - 1, torch.randint(10, (8,), generator=generator)
        yield x.to(device), torch.nn.functional.one_hot(labels, 10).float().to(device)


@pytest.fixture
def on_the_gpus_way(monkeypatch):
    """ADA's margins as on a GPU; on a CPU they are read from the drawn parameters, to save time."""
    from gan_fast.augment import geometry

    largest = lambda source, width, height: tuple(max(n - 1, 2 * geometry.REACH) for n in (width, height))  # noqa: E731
    monkeypatch.setattr(geometry, "_margins", largest)


def compare(eager, captured, device):
    for step, batch in enumerate(batches(device, STEPS)):
        a, b = (engine.step(*batch) for engine in (eager, captured))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a), step
    states = [engine.state_dict() for engine in (eager, captured)]
    for name, weights in states[0]["weights"].items():
        for key, tensor in weights.items():
            assert torch.equal(tensor, states[1]["weights"][name][key]), (name, key)


def test_nothing_in_a_step_reads_a_value(recipe, on_the_gpus_way):
    engine = Engine(*networks("cpu"), recipe)
    first, *others = batches("cpu", 4)
    engine.step(*first)  # caches are filled from the host once
    with NoReads():
        for batch in others:
            engine.step(*batch)


def test_phases_as_tapes_equal_phases(recipe, on_the_gpus_way):
    eager, taped = (Engine(*networks("cpu"), recipe) for _ in range(2))
    recorder = TapeRecorder(taped)
    taped._graphs = Graphs(recorder, [taped._draw.__self__.rng])
    compare(eager, taped, "cpu")
    assert recorder.recorded >= len(eager.phases)


def test_phases_as_cuda_graphs_equal_phases(recipe, device):
    if device.type != "cuda":
        pytest.skip("CUDA graphs take a GPU")
    eager, captured = (Engine(*networks(device), recipe, capture=capture) for capture in (False, True))
    compare(eager, captured, device)


def test_a_captured_run_waits_for_the_device_nowhere(recipe, device):
    if device.type != "cuda":
        pytest.skip("only a GPU can be waited for")
    engine = Engine(*networks(device), recipe)
    given = list(batches(device, 4))
    engine.step(*given[0])  # caches are filled from the host once
    try:
        torch.cuda.set_sync_debug_mode("error")
        for batch in given[1:]:
            engine.step(*batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Counter:
    """A recorder whose graphs only say that they ran."""

    def __init__(self):
        self.log = []

    def run(self, function):
        self.log.append("run")
        return function()

    def record(self, function, generators):
        self.log.append("record")
        outputs = function()
        return lambda: self.log.append("replay"), outputs


def test_a_graph_for_each_name_and_kind_of_inputs():
    recorder = Counter()
    graphs = Graphs(recorder)
    seen = []

    def double(x, y):
        seen.append((x, y))
        return {"double": 2 * x}

    def run(name, x, y):
        for _ in range(WARM_UP + 2):
            graphs(name, double, (x, y))
        found, recorder.log = recorder.log, []
        return found

    once = ["run"] * WARM_UP + ["record", "replay", "replay"]
    x, y = torch.ones(2, 3), torch.zeros([])
    assert run("a", x, y) == run("a", x, None) == run("b", x, y) == run("a", x[:1], y) == once
    assert run("a", x.mT.contiguous().mT, y) == run("a", x.double(), y) == once
    assert run("a", x.clone(), y + 1) == ["replay"] * (WARM_UP + 2)
    assert len({id(t) for t, _ in seen}) == 4
    assert all(t is not x for t, _ in seen)


def test_results_outlive_the_next_replay():
    kept = torch.zeros(2)

    class Once(Counter):
        def record(self, function, generators):
            return lambda: kept.add_(1), {"kept": kept}

    graphs = Graphs(Once())
    found = [graphs("a", lambda: {"kept": kept}, ())["kept"] for _ in range(WARM_UP + 2)]
    assert [t[0].item() for t in found[WARM_UP:]] == [1, 2]


def test_what_cannot_be_captured_is_named():
    with pytest.raises(ValueError, match="capture: CUDA graphs take networks on a GPU, got networks on cpu"):
        CudaRecorder(torch.device("cpu"))
    for options, named in ({}, "networks on a GPU"), ({"accumulate": 2}, "capture: each part"):
        with pytest.raises(ValueError, match=named):
            Engine(*networks("cpu"), Recipe(), capture=True, **options)
    growing = models.build(models.preset("progressive-digits", channel_base=64, channel_max=8))
    with pytest.raises(ValueError, match="capture: a graph stays as it is"):
        Engine(*growing, Recipe(grow_kimg=1.0), capture=True)
