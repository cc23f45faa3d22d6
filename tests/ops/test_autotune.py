"""Autotuning with clocks that the tests set: nothing here depends on how long anything takes."""

import contextlib
import json
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan_fast.ops import autotune
from gan_fast.ops.autotune import CacheFile, Entry, bucket, cache_file, fastest

CPU = torch.device("cpu")
ENTRY = Entry("op", [1], "first", {"first": 1.0, "second": 2.0}, "2026-01-01")
NOT_CALLED = dict.fromkeys(("first", "second"), lambda: pytest.fail("a candidate was timed"))


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Autotuning is on, with a cache of its own."""
    monkeypatch.setenv("GAN_FAST_AUTOTUNE", "1")
    monkeypatch.setenv("GAN_FAST_CACHE", str(tmp_path))
    autotune.forget()
    yield tmp_path
    autotune.forget()


def tune(key: tuple = (), clock: Callable[[], float] = lambda: 0.0, **times: float | list[float] | Exception) -> str:
    """The choice among candidates that take the given milliseconds, one after another where there are several."""
    left = {name: iter(t) for name, t in times.items() if isinstance(t, list)}

    def seconds_of(call: Callable[[], str]) -> float:
        name = call()
        time = next(left[name]) if name in left else times[name]
        if isinstance(time, Exception):
            raise time
        return time / 1e3

    candidates = {name: lambda name=name: name for name in times}
    return autotune._tune("op", key, candidates, CPU, lambda device: seconds_of, clock)


def entries() -> list[dict]:
    return json.loads(cache_file(CPU).path.read_text())


@pytest.mark.parametrize(
    ("times", "winner"),
    [
        ({"first": 3.0, "second": 1.0, "third": 2.0}, "second"),
        ({"first": 1.0, "second": 0.98}, "first"),
        ({"first": 1.0, "second": 0.96}, "second"),
        ({"first": 1.0, "second": 0.96, "third": 0.95}, "third"),
    ],
)
def test_the_fastest_beats_the_default_by_a_margin(times: dict, winner: str) -> None:
    assert tune(**times) == winner
    assert fastest("op", (), dict.fromkeys(times, NOT_CALLED["first"]), CPU) == winner


def test_medians_after_warming_up() -> None:
    three_rounds = iter([0.0, 0.1, 0.2, 9.0]).__next__
    assert tune(clock=three_rounds, first=1.0, second=[9.0, 9.0, 9.0, 0.5, 0.5]) == "second"


def test_candidates_take_turns_until_their_time_is_up() -> None:
    order = []

    def seconds_of(call: Callable[[], str]) -> float:
        order.append(call())
        return 1.0

    clock = iter([10.0, 10.3, 10.61]).__next__
    candidates = {name: lambda name=name: name for name in "abc"}
    medians, failed = autotune._race(candidates, seconds_of, clock)
    assert "".join(order) == "abcbcacababc", "two rounds to warm up, then two, after which 3 times 0.2 s are over"
    assert medians == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert not failed


def test_candidates_that_raise_are_out(caplog: pytest.LogCaptureFixture) -> None:
    later = [1.0, 1.0, 1.0, ValueError("too slow")]
    assert tune(first=RuntimeError("no such kernel"), second=later, third=2.0) == "third"
    assert [r.message for r in caplog.records] == [
        "op (): 'first' is out of the race: RuntimeError: no such kernel",
        "op (): 'second' is out of the race: ValueError: too slow",
    ]
    assert entries()[0]["ms"] == {"first": None, "second": None, "third": 2.0}
    with pytest.raises(KeyError, match="the default's"):
        tune(("all",), first=KeyError("the default's"), second=ValueError())
    assert len(entries()) == 1


def test_answers_outlive_the_process(cache: Path) -> None:
    key = (4, 8, torch.bfloat16, True, None, "nearest")
    assert tune(key, first=2.0, second=1.0) == "second"
    assert {**entries()[0], "date": ""} == {
        "op": "op",
        "key": [4, 8, "torch.bfloat16", True, None, "nearest"],
        "winner": "second",
        "ms": {"first": 2.0, "second": 1.0},
        "date": "",
    }
    assert [p.parent for p in cache.glob("*.json")] == [cache]
    assert f"torch-{torch.__version__}" in cache_file(CPU).path.name

    autotune.forget()
    assert fastest("op", key, NOT_CALLED, CPU) == "second"
    assert fastest("op", key, {"second": len}, CPU) == "second"
    # an answer without all of today's candidates is none
    assert tune(key, first=2.0, third=1.0) == "third"
    assert len(entries()) == 1


def test_a_switch_leaves_everything_untimed(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert tune((1,), first=2.0, second=1.0) == "second"
    autotune.forget()
    monkeypatch.setenv("GAN_FAST_AUTOTUNE", "0")
    assert fastest("op", (1,), NOT_CALLED, CPU) == "second"
    assert fastest("op", (2,), NOT_CALLED, CPU) == "first"
    assert len(entries()) == 1
    monkeypatch.setenv("GAN_FAST_AUTOTUNE", "yes")
    with pytest.raises(ValueError, match="GAN_FAST_AUTOTUNE: got 'yes', takes 0 or 1"):
        fastest("op", (3,), NOT_CALLED, CPU)


def test_one_candidate_none_and_other_devices(cache: Path) -> None:
    assert fastest("op", (), {"only": NOT_CALLED["first"]}, CPU) == "only"
    assert fastest("op", (), NOT_CALLED, torch.device("meta")) == "first"
    with pytest.raises(ValueError, match="candidates: got none"):
        fastest("op", (), {}, CPU)
    assert not list(cache.iterdir())


def test_candidates_run_without_gradients() -> None:
    seen = []
    candidates = dict.fromkeys(("first", "second"), lambda: seen.append(torch.is_grad_enabled()))
    assert fastest("op", (), candidates, CPU) in candidates
    assert not any(seen)


def test_threads_time_a_key_once() -> None:
    both = threading.Barrier(2)
    timed, chosen = [], []

    def make_timer(device: torch.device) -> autotune.Timer:
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.1)  # where a second thread gets here too, it does so now
        timed.append(threading.get_ident())
        return lambda call: 1.0

    threads = [
        threading.Thread(target=lambda: chosen.append(autotune._tune("op", (), NOT_CALLED, CPU, make_timer)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(timed) == 1
    assert chosen == ["first", "first"]


# ------------------------------------------------------------------------------------------------ processes


def _tune_keys(rank: int, start, chosen) -> None:
    """Ten keys that all processes have and ten of its own; each finds another candidate fastest."""
    start.wait()
    names = [f"candidate{i}" for i in range(4)]
    found = {}
    for i in range(10):
        found[i] = tune((i,), **{name: 1.0 if name == names[rank] else 2.0 for name in names})
        tune((rank, i), first=2.0, second=1.0)
    chosen.put(found)


def test_processes_share_one_file() -> None:
    spawn = multiprocessing.get_context("spawn")
    start, chosen = spawn.Barrier(4), spawn.SimpleQueue()
    ranks = [spawn.Process(target=_tune_keys, args=(rank, start, chosen)) for rank in range(4)]
    for rank in ranks:
        rank.start()
    path = cache_file(CPU).path
    while any(rank.is_alive() for rank in ranks):
        for rank in ranks:
            rank.join(0.01)
        if path.exists():
            json.loads(path.read_text())
    assert [rank.exitcode for rank in ranks] == [0] * 4
    first, *others = [chosen.get() for _ in ranks]
    assert others == [first] * 3, "processes disagree"
    assert len(entries()) == 10 + 4 * 10
    assert {e["key"][0]: e["winner"] for e in entries() if len(e["key"]) == 1} == first


HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
)


def test_a_lock_that_is_not_free_in_time(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = cache / "file.json"
    command = [sys.executable, "-c", HOLD, path.with_suffix(".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            file = CacheFile(path, patience=0)
            assert file.add(ENTRY) == file.add(ENTRY) == ENTRY
            (record,) = caplog.records
            assert record.message.endswith("file.lock is held by another process)")
            assert not path.exists()
        finally:
            holder.kill()
    assert CacheFile(path, patience=0).add(ENTRY) == ENTRY, "a dead process holds nothing"
    assert len(CacheFile(path).entries) == 1


@pytest.mark.parametrize(
    "text",
    [
        "", "[{", "null", "[1]", '[{"op": "op"}]',
        '[{"op": "op", "key": [], "winner": "x", "ms": {"y": 1.0}, "date": ""}]',
        '[{"op": "op", "key": [], "winner": "x", "ms": 1.0, "date": ""}]',
    ],
)  # fmt: skip
def test_a_broken_file_is_set_aside(text: str, caplog: pytest.LogCaptureFixture) -> None:
    path = cache_file(CPU).path
    path.write_text(text)
    autotune.forget()
    assert tune(first=2.0, second=1.0) == "second"
    assert path.with_suffix(".broken").read_text() == text
    assert len(entries()) == 1
    ignored, moved = [r.message for r in caplog.records]
    assert f"{path} is broken and ignored" in ignored
    assert f"{path} was broken and is now" in moved


def test_a_folder_that_cannot_be_written(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (cache / "file").write_text("in the way")
    monkeypatch.setenv("GAN_FAST_CACHE", str(cache / "file" / "folder"))
    for key in range(3):
        assert tune((key,), first=2.0, second=1.0) == "second"
    (record,) = caplog.records
    assert record.message.startswith("autotuning goes on without")
    assert fastest("op", (2,), NOT_CALLED, CPU) == "second"


def test_the_folder_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GAN_FAST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_file(CPU).path.parent == tmp_path / "xdg" / "gan_fast"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_file(CPU).path.parent == tmp_path / "home" / ".cache" / "gan_fast"


# ------------------------------------------------------------------------------------------------ untimed


def choose(x: torch.Tensor) -> torch.Tensor:
    name = fastest("op", (*bucket(x.shape), x.dtype), NOT_CALLED, x.device)
    return x + (1 if name == "first" else 2)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_nothing_is_timed_while_compiling(known: bool, dynamic: bool) -> None:
    if known:
        assert tune((4, 5, torch.float32), first=2.0, second=1.0) == "second"
    torch._dynamo.reset()
    compiled = torch.compile(choose, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    added = 2.0 if known and not dynamic else 1.0
    for n in (3, 4):
        assert torch.equal(compiled(torch.zeros(n, 5)), torch.full([n, 5], added))


def test_nothing_is_timed_under_modes_and_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch._subclasses.FakeTensorMode():
        assert choose(torch.zeros(4, 5)).shape == (4, 5)
    traced = torch.fx.experimental.proxy_tensor.make_fx(choose)(torch.zeros(4, 5))
    assert torch.equal(traced(torch.zeros(4, 5)), torch.ones(4, 5))
    assert torch.equal(torch.func.vmap(choose)(torch.zeros(4, 5)), torch.ones(4, 5))
    assert tune((4, 5, torch.float32), first=2.0, second=1.0) == "second", "the default was not remembered"
    with torch._subclasses.FakeTensorMode() as mode:
        choose(mode.from_tensor(torch.zeros(4, 5)))
    assert torch.equal(choose(torch.zeros(4, 5)), torch.full([4, 5], 2.0))


def test_nothing_is_timed_while_a_graph_is_captured(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Here in name only; on a GPU below."""
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(autotune, "device_name", lambda device: "a GPU")
    assert fastest("op", (), NOT_CALLED, torch.device("cuda", 0)) == "first"
    assert not list(cache.iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu() -> None:
    x = torch.zeros(1024, 1024, device="cuda")
    candidates = {"slow": lambda: [x.exp() for _ in range(50)], "fast": lambda: x.exp()}
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        x.exp()
        assert fastest("op", (), NOT_CALLED, x.device) == "first"
    assert fastest("op", (), candidates, x.device) == "fast"
    (entry,) = cache_file(x.device).entries.values()
    assert 0 < entry.ms["fast"] < entry.ms["slow"]


# ------------------------------------------------------------------------------------------------ small things


def test_bucket() -> None:
    sizes = {0: 1, 1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 32: 32, 33: 64}
    assert {n: bucket((n, 3, 5))[0] for n in sizes} == sizes
    assert bucket(torch.Size([6, 7, 9])) == (8, 7, 9)


def test_switches_are_listed() -> None:
    from gan_fast.ops.backends import SWITCHES

    assert {"GAN_FAST_AUTOTUNE", "GAN_FAST_CACHE"} <= SWITCHES.keys()
