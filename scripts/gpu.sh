#!/usr/bin/env bash
# Everything worth doing on a machine with a GPU, within ten minutes: build, test, verify, benchmark.
#
#   make gpu                          with the python3 on PATH, which must have torch, triton, pytest, pybind11, ninja
#   PYTHON=/path/to/python make gpu
#
# Needs no network and no virtual environment: the native modules are built into the source tree. Results go to
# benchmarks/results/, and a copy of everything, with the logs, to $OUT if that is set.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${OUT:-runs/gpu}
mkdir -p "$out"
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
failed=0

stage() { # name, seconds, command...
  local name=$1 limit=$2
  shift 2
  echo "== $name"
  local start=$SECONDS
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  local status=$?
  tail -n 15 "$out/$name.log"
  echo "== $name: exit $status after $((SECONDS - start)) s"
  [ $status -eq 0 ] || failed=1
}

arch=$($python -c 'import torch; print("{}{}".format(*torch.cuda.get_device_capability()))') || {
  echo "no CUDA device that $python's torch can see"
  exit 1
}
stage build 120 env GAN_FAST_CUDA=1 GAN_FAST_CUDA_ARCHS="$arch" "$python" setup.py -q build_ext --inplace
stage doctor 60 "$python" -m gan_fast doctor
stage verify 120 "$python" -m gan_fast verify
stage tests 200 "$python" -m pytest -x -q tests/ops tests/kernels tests/test_layers.py tests/models
stage bench 240 "$python" -m pytest -q benchmarks --quick
cp -r benchmarks/results "$out/" 2>/dev/null
exit $failed
