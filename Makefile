# make run ARGS="algo=ppo env=CartPole-v1"   install once, then train
# make test                                  what continuous integration runs
# make test-all                              and the slow tests: long matrices, learning runs
# make check                                 style and types only
# make docs                                  the pages of docs/ as a site, in site/
# make reference ARGS="trpo Hopper-v4"      train and store what docs/results.md is made of
# make learn, make bench                     learning curves, comparisons with other libraries

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt
CODE := trpo_cli tests scripts
# Tests run in as many processes as there are cores, each file in one of them.
PYTEST := $(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 8 --dist loadfile
# Where `make learn` works; the same command goes on with what was interrupted.
LEARN ?= outputs/learn

# Small matrices: more BLAS threads only wait for each other.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.PHONY: run test test-all check reference learn bench docs clean

run: $(VENV)/.installed
	$(BIN)/trpo-run $(ARGS)

test: $(VENV)/.installed-dev check
	$(PYTEST)

test-all: $(VENV)/.installed-dev check
	$(PYTEST) -m ''

check: $(VENV)/.installed-dev
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

learn: $(VENV)/.installed-dev
	if test -e $(LEARN)/sweep.json; then $(BIN)/trpo-run resume=$(LEARN) $(ARGS); else \
	$(BIN)/trpo-run -m algo=vpg,npg,trpo,ppo env=Hopper-v4,HalfCheetah-v4,Walker2d-v4 \
		seed=0,1,2 hydra.sweep.dir=$(LEARN) $(ARGS); fi
	$(BIN)/trpo-compare $(LEARN) --out $(LEARN)/report

reference: $(VENV)/.installed-dev
	$(BIN)/python scripts/reference.py run $(ARGS)

bench: $(VENV)/.installed-bench
	$(BIN)/python scripts/bench.py $(ARGS)

docs: $(VENV)/.installed-docs
	$(BIN)/zensical build --strict --clean

# Stamp files: an installation is repeated only when what it depends on has changed.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	$(INSTALL) -e '.[dev,bench]'
	@touch $@

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e '.[docs]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache
