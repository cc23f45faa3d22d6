"""What training loops of the nvlabs family use besides ops: torch_utils and dnnlib."""

import copy
import itertools
import math
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from gan_fast.compat.nvlabs import custom_ops, dnnlib, misc, persistence, training_stats


@persistence.persistent_class
class Base(nn.Module):
    def __init__(self, n, scale=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full([n], scale))


@persistence.persistent_class
class Derived(Base):
    def __init__(self, n, *, names=()):
        super().__init__(n, scale=2.0)
        self.names = names


class Plain(Base):
    pass


def test_persistent_classes_remember_their_own_arguments():
    names = ["a"]
    made = Derived(3, names=names)
    names.append("b")
    for module in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert module.init_args == (3,)
        assert module.init_kwargs == {"names": ["a"]}
        assert module.init_kwargs.names == ["a"]
        assert isinstance(module, Derived)
        torch.testing.assert_close(module.weight, made.weight)
    made.init_kwargs.names.append("c")
    assert made.init_kwargs.names == ["a"]
    assert Base(2, scale=3.0).init_kwargs == {"scale": 3.0}
    assert persistence.is_persistent(made)
    assert persistence.is_persistent(Base)
    assert not persistence.is_persistent(Plain(1))
    assert persistence.persistent_class(Base) is Base
    assert Base.__name__ == "Base"
    assert b"def forward" not in pickle.dumps(made)
    assert persistence.import_hook(print) is print


def test_source_text_in_pickles_is_refused():
    with pytest.raises(RuntimeError, match=r"holds source text, .*gan_fast\.load"):
        persistence._reconstruct_persistent_obj({"module_src": "raise SystemExit"})


def test_constant():
    a = misc.constant([[1, 2]], shape=[3, 2], dtype=torch.float64)
    assert a is misc.constant([[1, 2]], shape=(3, 2), dtype=torch.float64)
    torch.testing.assert_close(a, torch.tensor([[1.0, 2]] * 3, dtype=torch.float64))
    assert misc.constant(0).shape == ()
    assert misc.constant(0).dtype == torch.float32
    assert misc.constant(1) is not misc.constant(1.0)
    nhwc = misc.constant(np.ones([1, 2, 3, 4]), memory_format=torch.channels_last)
    assert nhwc.is_contiguous(memory_format=torch.channels_last)


def test_assert_shape():
    misc.assert_shape(torch.zeros(2, 3), [None, 3])
    misc.assert_shape(torch.zeros(2, 3), [torch.tensor(2), 3])
    for shape in ([2], [2, 4], [None, None, None]):
        with pytest.raises(AssertionError, match=r"got shape \[2, 3\], expected"):
            misc.assert_shape(torch.zeros(2, 3), shape)
    with pytest.raises(AssertionError, match="why"):
        misc.symbolic_assert(torch.tensor(False), "why")


def test_infinite_sampler():
    def first(count, **options):
        return list(itertools.islice(iter(misc.InfiniteSampler(range(10), **options)), count))

    assert first(25, shuffle=False) == [i % 10 for i in range(25)]
    assert sorted(first(10, window_size=0)) == list(range(10)) != first(10, window_size=0)
    assert first(20, seed=1) != first(20, seed=2)
    assert first(40)[0::2] == first(20, num_replicas=2)
    assert first(40)[1::2] == first(20, num_replicas=2, rank=1)
    assert first(20, window_size=0)[10:] == first(10, window_size=0)
    assert np.bincount(first(1000)).min() > 80
    with pytest.raises(ValueError, match="rank 2 of 2"):
        misc.InfiniteSampler(range(3), rank=2, num_replicas=2)


def test_parameters_and_buffers():
    source, target = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    source.weight.data.fill_(3)
    misc.copy_params_and_buffers(source, target, require_all=True)
    assert target.weight.tolist() == [3, 3]
    assert [name for name, _ in misc.named_params_and_buffers(target)][:3] == ["weight", "bias", "running_mean"]
    assert [t.data_ptr() for t in misc.params_and_buffers(target)] == [
        t.data_ptr() for _, t in misc.named_params_and_buffers(target)
    ]
    misc.copy_params_and_buffers(nn.Identity(), target)
    with pytest.raises(ValueError, match="weight: is not in the source"):
        misc.copy_params_and_buffers(nn.Identity(), target, require_all=True)


def test_module_summary(capsys):
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(3, 1)))))
    y = misc.print_module_summary(module, [torch.zeros(4, 2)], max_nesting=3)
    assert y.shape == (4, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["0", "Linear", "9", "0", "[4,", "3]"]
    assert lines[-1].split()[:2] == ["<top-level>", "Sequential"]
    assert len(lines) == 3  # neither the activation nor what lies deeper
    assert not module._forward_hooks


def test_profiled_functions_and_ddp_of_a_plain_module():
    @misc.profiled_function
    def named(x):
        return x + 1

    with torch.autograd.profiler.profile() as profile:
        assert named(torch.zeros(1)) == 1
    assert "named" in [event.key for event in profile.key_averages()]
    with misc.ddp_sync(nn.Identity(), False), misc.suppress_tracer_warnings():
        pass


@pytest.fixture
def _no_stats(monkeypatch):
    monkeypatch.setattr(training_stats, "_totals", {})
    monkeypatch.setattr(training_stats, "_pending", {})


@pytest.mark.usefixtures("_no_stats")
def test_statistics():
    numbers = np.random.default_rng(0).standard_normal(12)
    collector, losses = training_stats.Collector(), training_stats.Collector(regex="Loss/.*", keep_previous=False)
    for part in np.split(numbers, 3):
        assert training_stats.report("Loss/G", torch.tensor(part)).shape == (4,)
    assert training_stats.report("Other", 3) == 3
    assert math.isnan(collector["Loss/G"])
    collector.update()
    losses.update()
    for c in (collector, losses):
        assert c.num("Loss/G") == 12
        assert c.mean("Loss/G") == c["Loss/G"] == pytest.approx(numbers.mean())
        assert c.std("Loss/G") == pytest.approx(numbers.std())
    assert collector.names() == ["Loss/G", "Other"]
    assert losses.names() == ["Loss/G"]
    assert collector.as_dict().Other == {"num": 1, "mean": 3, "std": 0}

    training_stats.report("Other", [])
    collector.update()
    losses.update()
    assert collector.num("Loss/G") == 12
    assert losses.num("Loss/G") == 0
    training_stats.report("Loss/G", [1, 2])
    collector.update()
    losses.update()
    assert collector["Loss/G"] == losses["Loss/G"] == 1.5


@pytest.mark.usefixtures("_no_stats")
def test_statistics_of_other_processes(monkeypatch):
    monkeypatch.setattr(training_stats, "_rank", 0)
    monkeypatch.setattr(training_stats, "_sync_device", None)
    summed = []
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda t: summed.append(t.shape) or t.mul_(2))
    collector = training_stats.Collector()
    training_stats.init_multiprocessing(rank=1, sync_device=torch.device("cpu"))
    training_stats.report0("zero", 5.0)
    training_stats.report("all", 5.0)
    collector.update()
    assert collector.num("zero") == 0
    assert collector.num("all") == 2  # as if the other process had reported the same
    assert summed == [(2, 3)]


def test_easy_dict():
    d = dnnlib.EasyDict(a=1)
    d.b = 2
    assert d == {"a": 1, "b": 2}
    del d.a
    assert not hasattr(d, "a")
    with pytest.raises(AttributeError):
        del d.a
    assert pickle.loads(pickle.dumps(d)) == copy.deepcopy(d) == d


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (60, "1m 00s"), (3723, "1h 02m 03s"), (97440, "1d 03h 04m")],
)
def test_format_time(seconds, text):
    assert dnnlib.format_time(seconds) == text


def test_objects_by_name(monkeypatch):
    assert dnnlib.get_obj_by_name("torch.nn.Linear") is nn.Linear
    assert dnnlib.call_func_by_name(4, func_name="math.sqrt") == 2
    assert dnnlib.construct_class_by_name(class_name="torch.nn.Linear", in_features=2, out_features=1).bias.numel() == 1
    with pytest.raises(ImportError, match=r"'no_such\.thing'"):
        dnnlib.get_obj_by_name("no_such.thing")
    with pytest.raises(AttributeError, match="Nothing"):
        dnnlib.get_obj_by_name("torch.nn.Nothing")


def test_a_missing_import_inside_a_named_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "wants_more.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        dnnlib.get_obj_by_name("wants_more.thing")


def test_files_and_urls(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_bytes(b"content")
    for path in (file, str(file), file.as_uri()):
        with dnnlib.open_url(path) as opened:
            assert opened.read() == b"content"
    with pytest.raises(OSError, match="downloads nothing"):
        dnnlib.open_url("https://example.com/network.pkl")
    assert dnnlib.is_url("http://example.com/x")
    assert not dnnlib.is_url("file:///x")
    assert dnnlib.is_url("file:///x", allow_file_urls=True)
    assert not dnnlib.is_url("C://x")
    assert not dnnlib.is_url(3)
    monkeypatch.setenv("DNNLIB_CACHE_DIR", str(tmp_path))
    assert dnnlib.make_cache_dir_path("a", "b") == str(tmp_path / "a" / "b")


def test_logger(tmp_path, capsys):
    file = tmp_path / "log.txt"
    before = sys.stdout
    with dnnlib.Logger(str(file), file_mode="a", should_flush=True):
        print("out")
        sys.stdout.write(b"bytes\n")
    assert sys.stdout is before
    assert file.read_text() == "out\nbytes\n"
    assert capsys.readouterr().out == "out\nbytes\n"


def test_plugins_are_refused():
    with pytest.raises(RuntimeError, match=r"'mine'.*torch\.utils\.cpp_extension"):
        custom_ops.get_plugin("mine", sources=["mine.cu"])
    assert isinstance(custom_ops, types.ModuleType)
    assert custom_ops.verbosity == "brief"
