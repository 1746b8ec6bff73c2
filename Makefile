# Two commands: `make demo` shows a picture move, `make test` runs everything. Nothing but Python and make is assumed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Test workers: one a processor. Each keeps to one thread, and takes files whole: what their tests share is made once.
WORKERS ?= auto

.PHONY: demo portrait test full lint check clean

demo: $(VENV)/.installed
	$(BIN)/fomm demo --force

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# Networks of the published size against the original's numbers: minutes and gigabytes, so not among the tests.
full: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m full --timeout 1800

# LivePortrait's options on a bundled person, its small networks with weights from a recipe: a clip each, and sheets.
portrait: $(VENV)/.installed-dev
	rm -rf demo/live-portrait
	$(BIN)/python -m tests.live_portrait_demo demo/live-portrait

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check fomm_cli tests
	$(BIN)/ruff format --check fomm_cli tests
	$(BIN)/mypy

check: lint test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info demo
