# `make demo` and `make test` start from a fresh clone: each makes the virtual environment it needs and builds the
# package into it. Everything lives in .venv; `make clean` removes all of it.

VENV := .venv
BIN := $(VENV)/bin
# the first Python 3.11 or 3.12 there is
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
GPU := $(shell command -v nvidia-smi)
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt
NATIVE := setup.py pyproject.toml $(shell find csrc -type f)

.PHONY: demo test test-exhaustive lint format bench bench-quick verify gpu clean

demo: $(VENV)/installed  ## train a StyleGAN2 on handwritten digits: on the GPU if there is one, else on the CPU
	$(BIN)/gan-fast train
	@command -v gan-fast >/dev/null || echo "First: source $(BIN)/activate, so that your shell finds gan-fast."

test: $(VENV)/installed-dev  ## the tests
	$(PYTEST) -m "not exhaustive" tests

test-exhaustive: $(VENV)/installed-dev  ## the others: mutants, all that compilers make of kernels, whole argument spaces
	$(PYTEST) -m exhaustive tests

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(find csrc tests -name '*.cpp' -o -name '*.h' -o -name '*.cu')

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(find csrc tests -name '*.cpp' -o -name '*.h' -o -name '*.cu')

bench: $(VENV)/installed  ## time every op, network and phase against eager PyTorch and torch.compile: an hour
	$(BIN)/gan-fast bench --html runs/bench/report.html

bench-quick: $(VENV)/installed  ## a few of them, three minutes
	$(BIN)/gan-fast bench --quick --html runs/bench/quick.html

gpu:  ## on a machine with a GPU: build, test, verify and benchmark within ten minutes, with the python3 that has torch
	scripts/gpu.sh

verify: $(VENV)/installed
	$(BIN)/gan-fast verify

clean:
	rm -rf $(VENV) .benchmarks build dist *.egg-info gan_fast/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "gan_fast needs Python 3.11 or 3.12; name one: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Libraries are installed while native modules are built, which need none of them.
$(VENV)/libraries: constraints.txt pyproject.toml | $(BIN)/python
	$(BIN)/python scripts/requirements.py > $@.txt
	$(PIP) -r $@.txt
	touch $@

$(VENV)/libraries-dev: constraints.txt pyproject.toml | $(BIN)/python
	$(BIN)/python scripts/requirements.py dev > $@.txt
	$(PIP) -r $@.txt
	touch $@ $(VENV)/libraries

# The demo builds only what runs here: code for this processor, and CUDA kernels where there is a GPU.
$(VENV)/built: $(NATIVE) | $(BIN)/python
	GAN_FAST_CPU_ISAS="$${GAN_FAST_CPU_ISAS:-native}" $(if $(GPU),,GAN_FAST_CUDA=$${GAN_FAST_CUDA:-0}) $(PIP) --no-deps -e .
	touch $@

# The tests build all of it, but where there is no GPU CUDA kernels for one architecture: four take minutes more.
$(VENV)/built-dev: $(NATIVE) | $(BIN)/python
	$(if $(GPU),,GAN_FAST_CUDA_ARCHS="$${GAN_FAST_CUDA_ARCHS:-90}") $(PIP) --no-deps -e .
	touch $@ $(VENV)/built

$(VENV)/installed: $(NATIVE) constraints.txt
	$(MAKE) -j2 $(VENV)/libraries $(VENV)/built
	touch $@

$(VENV)/installed-dev: $(NATIVE) constraints.txt
	$(MAKE) -j2 $(VENV)/libraries-dev $(VENV)/built-dev
	touch $@ $(VENV)/installed
