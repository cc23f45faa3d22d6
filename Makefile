# `make demo` and `make test` start from a fresh clone: each makes the virtual environment it needs and builds the
# package into it. Everything lives in .venv; `make clean` removes all of it.

VENV := .venv
BIN := $(VENV)/bin
# the first Python 3.11 or 3.12 there is
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
NATIVE := setup.py pyproject.toml $(shell find csrc -type f)

.PHONY: demo test lint format bench bench-quick verify gpu clean

demo: $(VENV)/installed  ## train a StyleGAN2 on handwritten digits: on the GPU if there is one, else on the CPU
	$(BIN)/gan-fast train

test: $(VENV)/installed-dev  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests

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

# torch first, so that its pin is what everything else resolves against
$(VENV)/torch: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	touch $@

# without a GPU the demo does not wait for CUDA kernels; the tests do, and build them
$(VENV)/installed: $(NATIVE) $(VENV)/torch
	$(if $(shell command -v nvidia-smi),,GAN_FAST_CUDA=$${GAN_FAST_CUDA:-0}) $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	touch $@

# where there is no GPU to run them, the tests inspect code for one architecture: four take minutes more to compile
$(VENV)/installed-dev: $(NATIVE) $(VENV)/torch
	$(if $(shell command -v nvidia-smi),,GAN_FAST_CUDA_ARCHS="$${GAN_FAST_CUDA_ARCHS:-90}") $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/installed
