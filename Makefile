# `make demo` and `make test` are all a fresh machine needs: python3 (3.11-3.13) with venv.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := datagen,rigno,viz,dev

.PHONY: demo test setup lint types clean

setup: .venv/.installed

.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --python $(BIN)/python --editable '.[$(EXTRAS)]'
	touch $@

demo: setup
	$(BIN)/irno-graph demo

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

clean:
	rm -rf .venv demo-output
