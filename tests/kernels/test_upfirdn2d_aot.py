"""What the compilers make of upfirdn2d for GPUs that are not here: registers, spills, shared memory, wide accesses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sass

ROOT = Path(__file__).resolve().parents[2]
SHARED_LIMIT = 48 * 1024  # of a block, with no special request
REGISTERS = {"triton": 128, "planes": 80, "pixels": 168, "separable": 64, "direct": 64}

MODES = {
    "up2": ([2, 2], [1, 1], [2, 1, 2, 1]),
    "fir": ([1, 1], [1, 1], [2, 1, 2, 1]),
    "down2": ([1, 1], [2, 2], [1] * 4),
}
ODD = ([3, 3], [2, 2], [4, 3, 4, 3])


def call(
    mode: tuple, size: tuple[int, int], dtype: str, channels_last: bool, filter_shape: list[int], capabilities=(90,)
) -> dict:
    """upfirdn2d of a layer's activation; size: of its output, for an input of 64 by 64."""
    x = {"shape": [16, 128, 64, 64], "dtype": dtype, "channels_last": channels_last}
    y = x | {"shape": [16, 128, *size]}
    args = [x, {"shape": filter_shape, "dtype": "float32"}, *mode, False, 1.0, y]
    return {"op": "upfirdn2d", "primitive": "upfirdn2d", "args": args, "capabilities": capabilities}


SIZES = {"up2": (128, 128), "fir": (64, 64), "down2": (32, 32)}
FAST = [(m, dtype, last) for m in MODES for dtype in ("float32", "bfloat16") for last in (False, True)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """By Triton, in a process of its own: in this one its kernels may be bound to the interpreter."""
    folder = tmp_path_factory.mktemp("aot")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    wanted = [call(MODES[m], SIZES[m], dtype, last, [4, 4]) for m, dtype, last in FAST]
    wanted += [call(MODES["up2"], SIZES["up2"], "bfloat16", True, [12]), call(ODD, (95, 95), "float32", False, [6, 6])]
    wanted += [call(MODES["up2"], SIZES["up2"], "float16", True, [4, 4], (80, 100, 120))]
    command = [sys.executable, Path(__file__).with_name("aot.py"), folder]
    done = subprocess.run(command, env=environment, input=json.dumps(wanted), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_x(compiled: list[dict]) -> None:
    for c in compiled:
        (kernel,) = sass.read_cubin(Path(c["file"]))
        print(
            c["kernel"],
            c["capability"],
            kernel.registers,
            kernel.local_bytes,
            c["shared"],
            {k: v for k, v in kernel.instructions.items() if k.startswith(("LDG", "STG", "FFMA", "STS", "LDS"))},
            sum(kernel.instructions.values()),
        )
