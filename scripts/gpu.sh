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
  timeout -s INT -k 10 "$limit" "$@" >"$out/$name.log" 2>&1 # interrupted, the benchmarks write what they have
  local status=$?
  tail -n 15 "$out/$name.log"
  echo "== $name: exit $status after $((SECONDS - start)) s"
  [ $status -eq 0 ] || failed=1
}

arch=$($python -c 'import torch; print("{}{}".format(*torch.cuda.get_device_capability()))') || {
  echo "no CUDA device that $python's torch can see"
  exit 1
}
# Triton compiles a kernel for every option of every sample: one process an op, whose cache `verify` then finds.
contract() {
  local op pids=() status=0
  for op in $("$python" -c 'from gan_fast.testing import OPS; print(*OPS)'); do
    "$python" -m pytest -q tests/ops/test_contract.py -k "$op" >"$out/contract-$op.log" 2>&1 &
    pids+=($!)
  done
  local rest=(tests/ops tests/kernels/test_modulated_conv2d_kernels.py tests/test_layers.py tests/models)
  rest+=(tests/training/test_engine.py tests/training/test_health.py)
  rest+=(--ignore tests/ops/test_contract.py)
  "$python" -c 'import hypothesis, scipy' || rest+=(--ignore tests/ops/test_properties.py)
  "$python" -m pytest -q "${rest[@]}" &
  pids+=($!)
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  tail -qn 1 "$out"/contract-*.log
  return $status
}
export -f contract
export python out

stage build 150 env GAN_FAST_CUDA=1 GAN_FAST_CUDA_ARCHS="$arch" "$python" setup.py -q build_ext --inplace
stage doctor 30 "$python" -m gan_fast doctor
stage tests 190 bash -c contract
stage bench 120 "$python" -m pytest -q benchmarks --quick
stage steps 60 "$python" benchmarks/steps.py --resolution 128 --seconds 2
stage verify 60 "$python" -m gan_fast verify
cp -r benchmarks/results "$out/" 2>/dev/null
exit $failed
