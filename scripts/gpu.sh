#!/usr/bin/env bash
# Everything worth doing on a machine with a GPU, in order of value and within ten minutes.
#
#   make gpu                            with the python3 on PATH, which has what `needed` names below
#   make gpu PARTS="tests bench"        only these, of: build doctor verify tests bench steps hotspots training kernels
#   make gpu OUT=folder                 where logs, results and summary.txt go (runs/gpu)
#   make gpu LIMIT=20                   seconds that a part may take, instead of its own limit
#   PYTHON=/path/to/python make gpu
#
# A part that fails does not keep the next from running, and summary.txt keeps what earlier calls found of the others.
# Needs no network and no virtual environment: the native modules are built into the source tree.
set -uo pipefail
cd "$(dirname "$0")/.."
all="build doctor verify tests bench steps hotspots training kernels"
declare -A limits=([build]=75 [doctor]=15 [verify]=100 [tests]=90 [bench]=100 [steps]=130 [hotspots]=25
  [training]=50 [kernels]=15)
parts=${PARTS:-$all}
python=${PYTHON:-python3}
mkdir -p "${OUT:=runs/gpu}"
out=$(cd "$OUT" && pwd)
export python out PYTHONPATH=$PWD PYTHONUNBUFFERED=1

for part in $parts; do
  [[ -v limits[$part] ]] || { echo "PARTS: got $part, takes $all" && exit 2; }
done
needed="torch triton typer rich pytest pybind11 ninja"
find='import sys; from importlib.util import find_spec; print(*[m for m in sys.argv[1:] if find_spec(m) is None])'
lacking=$("$python" -c "$find" $needed) || exit 2
[ -z "$lacking" ] || { echo "$python lacks $lacking" && exit 2; }
arch=$("$python" -c 'import torch; print("{}{}".format(*torch.cuda.get_device_capability()))' 2>/dev/null)
export arch

needs_gpu() { [ -n "$arch" ] || { echo "not run: no CUDA device that $python's torch can see" && exit 1; }; }
export -f needs_gpu

build() {
  needs_gpu
  GAN_FAST_CUDA=1 GAN_FAST_CUDA_ARCHS=$arch "$python" setup.py -q build_ext --inplace
}

doctor() { "$python" -m gan_fast doctor; }

# One process for each op, backend and dtype: Triton compiles a kernel for every option of every sample.
verify() {
  mkdir -p "$out/verify"
  "$python" - <<'END' >"$out/verify/runs"
from gan_fast.testing import OPS

slow_first = sorted(OPS, key=lambda op: op not in ("modulated_conv2d", "bias_act", "upfirdn2d", "modulate"))
for dtype in ("bfloat16", "float32", "float16", "float64"):
    for backend in ("cuda", "triton"):
        for op in slow_first:
            print(op, backend, dtype)
END
  # shellcheck disable=SC2016
  OMP_NUM_THREADS=1 xargs -P "$(nproc)" -L 1 sh -c '
    name=$out/verify/$0-$1-$2
    "$python" -m gan_fast verify --ops "$0" --backends "$1" --dtypes "$2" --json "$name.json" >"$name.log" 2>&1
    status=$?
    [ $status -eq 2 ] && grep -q "nothing to verify" "$name.log" && exit 0
    [ $status -eq 0 ] || { echo "$0 on $1 in $2: exit $status" && tail -n 3 "$name.log" && exit 1; }
  ' <"$out/verify/runs"
}

# what `verify` does not do, and no test that only a CPU's kernels or compilers decide
tests() {
  needs_gpu
  local done_by_verify="not (test_matches_reference or registered_route or equal_bits or test_gradcheck)"
  local rest=(tests/ops tests/kernels/test_modulated_conv2d_kernels.py tests/test_layers.py tests/models)
  rest+=(tests/training/test_{capture,engine,health,prefetch}.py)
  "$python" -c 'import hypothesis, scipy' 2>/dev/null || rest+=(--ignore tests/ops/test_properties.py)
  "$python" -c 'import xdist' 2>/dev/null && rest+=(-n 8)
  OMP_NUM_THREADS=1 "$python" -m pytest -q --durations=10 "${rest[@]}" -k "$done_by_verify"
}

# What they autotune is a JSON file that a machine like this one can start from.
export GAN_FAST_CACHE=$out/autotune

bench() { needs_gpu && "$python" -m gan_fast bench --quick --json "$out/bench.json" --html "$out/bench.html"; }

# Phases of a network, with CUDA graphs and without. Triton compiles for minutes in one process, hence first in several,
# whose autotuning, of a GPU that they share, is not kept.
steps() {
  needs_gpu || return
  local phase pids=()
  for phase in "G forward" "D forward" "R1" "path length" "step"; do
    GAN_FAST_CACHE=$(mktemp -d) OMP_NUM_THREADS=1 "$python" -m gan_fast bench --ops paper256 \
      --match "$phase bfloat16" --json "$(mktemp)" >/dev/null 2>&1 &
    pids+=($!)
  done
  wait "${pids[@]}"
  "$python" -m gan_fast bench --ops paper256 --match bfloat16 --json "$out/steps.json"
}

# Which kernels the phases consist of: what is to be made faster next.
hotspots() { needs_gpu && "$python" benchmarks/hotspots.py paper256 --bfloat16 --json "$out/hotspots.json"; }

# The engine with the whole recipe, augmentation included.
training() { needs_gpu && "$python" -m gan_fast bench --ops training --match paper256 --json "$out/training.json"; }

kernels() { "$python" -m gan_fast kernels --backends cuda --chips "sm_${arch:-90}" --json "$out/kernels.json"; }

export -f build doctor verify tests bench steps hotspots training kernels
for part in $parts; do
  echo "== $part"
  start=$SECONDS
  # interrupted, the benchmarks write what they have
  timeout -s INT -k 10 "${LIMIT:-${limits[$part]}}" bash -c "$part" >"$out/$part.log" 2>&1
  status=$?
  tail -n 15 "$out/$part.log"
  found=ok
  [ $status -eq 0 ] || found="failed, exit $status"
  [ $status -ne 124 ] && [ $status -ne 137 ] || found="out of time"
  printf '%-9s %4d s  %s\n' "$part" $((SECONDS - start)) "$found" >"$out/$part.status"
done
for part in $all; do
  [ ! -f "$out/$part.status" ] || cat "$out/$part.status"
done | tee "$out/summary.txt"
for part in $parts; do
  grep -q ' ok$' "$out/$part.status" || exit 1
done
