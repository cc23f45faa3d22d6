"""Fixtures that all tests share. Where there is no GPU, Triton kernels run in Triton's interpreter."""

import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before anything imports triton

# Ends the process with a mark if it looks up or connects to anything but this machine.
GUARDED = """
import sys
def guard(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and not address[0].startswith("127."): raise SystemExit(f"LEFT: {address}")
    if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", None):
        raise SystemExit(f"LEFT: {arguments}")
sys.addaudithook(guard)
from gan_fast.cli import app
app()
"""


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="session", autouse=True)
def _autotuning(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every op takes its default, whatever this machine has timed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GAN_FAST_AUTOTUNE", "0")
        environment.setenv("GAN_FAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _process_state() -> None:
    """Each test starts from the same random numbers, and with subnormal numbers, which a training run flushes."""
    torch.manual_seed(0)
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a checkpoint, after one step, of a very small generator of 8x8 digits with strong noise."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from gan_fast.training import Trainer, make_config
    from gan_fast.training.checkpoint import find_checkpoint

    model = {"img_resolution": 8, "channel_base": 64, "channel_max": 8, "z_dim": 8, "w_dim": 8}
    config = make_config(model=model, batch=8, threads=1, device="cpu", seed=1)
    trainer = Trainer(config, tmp_path_factory.mktemp("runs") / "00000-digits")
    trainer.run(should_stop=lambda: True)
    file = find_checkpoint(trainer.run_folder)
    with safe_open(file, framework="pt") as stored:
        metadata, tensors = stored.metadata(), {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    for name, tensor in tensors.items():
        if name.endswith("noise_strength"):
            tensor.fill_(0.3)
    save_file(tensors, file, metadata)
    return trainer.run_folder


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


@contextmanager
def open_page(browser) -> Iterator[object]:
    """A page that fails the test for an error in its scripts, and that keeps the address of every request."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.set_default_timeout(60_000)
    opened.requested, errors = [], []
    opened.on("request", lambda request: opened.requested.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert not errors


@pytest.fixture
def page(browser) -> Iterator[object]:
    with open_page(browser) as opened:
        yield opened


@pytest.fixture(scope="session")
def served(browser) -> Callable[..., AbstractContextManager[object]]:
    """Runs a command that serves a page, in a process of its own, and opens it; neither may ask any other machine.

    Afterwards the command is ended as Ctrl-C would.
    """
    pytest.importorskip("gradio", reason="a page in a browser is an extra")

    @contextmanager
    def serve(*arguments: object) -> Iterator[object]:
        command = [sys.executable, "-c", GUARDED, *map(str, arguments), "--port", "0"]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        # Whoever runs the tests in the background may have them ignore SIGINT.
        heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heed
        ) as server:
            try:
                line = server.stdout.readline()
                assert " is at http://127.0.0.1:" in line, line
                assert server.stdout.readline().startswith("Next: open it in a browser")
                address = line.split()[-1]
                with open_page(browser) as opened:
                    opened.goto(address)
                    yield opened
                    assert [url for url in opened.requested if not url.startswith((address, "data:", "blob:"))] == []
                    server.send_signal(signal.SIGINT)  # while the page is open
                    _, errors = server.communicate(timeout=60)
            finally:
                server.kill()
            assert server.returncode == 0, errors
            assert "LEFT" not in errors
            assert "Traceback" not in errors

    return serve
