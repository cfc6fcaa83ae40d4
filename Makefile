# `make demo` and `make test` are all a fresh machine needs: python3 (3.11-3.13) with venv.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := datagen,rigno,viz,dev
# torch-harmonics has wheels for one minor version of torch each, torch-scatter is compiled against it.
PINNED := 'torch==2.14.*' 'torch-harmonics==0.9.3'
PINNED_BIN := .venv-extras/bin
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: demo experiment test test-slow test-extras test-sphere test-scatter test-grid test-models setup lint types clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --editable '.[$(EXTRAS)]'
	touch $@

demo: setup
	$(BIN)/irno-graph demo

# Hours; after an interruption the same command goes on. `make experiment SIZE=cpu` reads configs/experiment_cpu.yaml.
SIZE ?= cpu

experiment: configs/experiment_$(SIZE).yaml setup
	$(BIN)/irno-graph experiment ce-gauss --config $<

configs/experiment_%.yaml:
	@echo "SIZE should be one of: $(patsubst configs/experiment_%.yaml,%,$(filter-out %_training.yaml,$(wildcard \
	  configs/experiment_*.yaml))); got '$*', for which there is no $@." >&2; exit 1

test: setup
	$(PYTEST) -n auto --maxprocesses 8 --dist loadfile

# One environment, filled extra by extra: torch-scatter alone takes minutes.
.venv-extras/.%: pyproject.toml
	test -x $(PINNED_BIN)/python || $(PYTHON) -m venv .venv-extras
	$(PINNED_BIN)/python -m pip install --quiet --disable-pip-version-check uv
	MAX_JOBS=2 FORCE_CUDA=0 FORCE_ONLY_CPU=1 \
	  $(PINNED_BIN)/uv pip install --python $(PINNED_BIN)/python --editable '.[$*,$(EXTRAS)]' $(PINNED)
	touch $@

test-extras: test-sphere test-scatter test-grid test-models

# Without the imports all tests of a library would be skipped.
test-sphere: .venv-extras/.sphere
	$(PINNED_BIN)/python -c 'import torch_harmonics'
	$(PINNED_BIN)/python -m pytest -m extras tests/spectral tests/bases/test_sphere_base.py tests/test_sphere_loss.py \
	  tests/data/test_shallow_water.py tests/data/test_shallow_water_made.py tests/experiments/test_compare_scores.py

test-scatter: .venv-extras/.scatter
	$(PINNED_BIN)/python -c 'import torch_scatter'
	$(PINNED_BIN)/python -m pytest -m extras tests/nn

test-grid: .venv-extras/.grid .venv-extras/.hub
	$(PINNED_BIN)/python -W ignore -c 'import neuralop, huggingface_hub'
	$(PINNED_BIN)/python -m pytest -m extras tests/bases/test_neuralop.py tests/bases/test_the_well.py

test-models: .venv-extras/.hub .venv-extras/.export
	$(PINNED_BIN)/python -W ignore -c 'import huggingface_hub, onnxruntime, onnxscript'
	$(PINNED_BIN)/python -m pytest -m extras tests/refine/test_hub.py tests/refine/test_export.py

test-slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-extras demo-output
