# What a developer or a first-time reader types. Everything lies inside this folder (pip's cache aside);
# what is installed is locked, with hashes, in requirements.lock and requirements-test.lock.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SEED := 1
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help demo check test test-real soak bench bench-peers lock clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' Makefile

demo: $(VENV)/.installed ## install, then play the whole story against emulators on this machine
	$(BIN)/stockade demo

check: $(VENV)/.installed-test ## formatter, linter, types, architecture fences and docs tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict runner connectors
	$(BIN)/python -m pytest -q tests/test_fences.py tests/test_docs.py tests/test_architecture.py

test: check ## all checks, then the whole suite, on every core
	$(BIN)/python -m pytest -q --numprocesses auto --dist worksteal

test-real: $(VENV)/.installed-test ## install real servers (root, Debian, PyPI), and run the tests that need them
	@tests/servers/install.sh; installed=$$?; \
	STOCKADE_REAL=1 $(BIN)/python -m pytest -q -rs tests/real && exit $$installed

soak: $(VENV)/.installed-test ## every shipped playbook, killed at every point and in every other way (SEED=1)
	@fault=0; for file in playbooks/*.yaml; do \
	  $(BIN)/stockade drill $$file --every 1 --overlap --lossy --random-kills 60 --seed $(SEED) \
	  || fault=1; done; exit $$fault

bench: $(VENV)/.installed-test ## ratios, both sides in one run; triage beside published rules (CORPUS=file.jsonl)
	@fault=0; for name in "triage $(CORPUS)" idle runs backlog waiting flood; do \
	  $(BIN)/python -m bench.$$name || fault=1; done; exit $$fault

bench-peers: $(VENV)/.installed-test ## the same calls as steps of DBOS, Luigi and Ansible, installed for it
	$(BIN)/python -m bench.beside $(VENV)/peers

lock: $(VENV)/uv/bin/uv ## write both lock files anew (UPGRADE=--upgrade takes newer versions)
	$(call compile,--extra build --extra metrics --extra socket --extra evtx,requirements.lock)
	$(call compile,--extra build --extra metrics --extra socket --extra evtx --extra test --constraint requirements.lock,requirements-test.lock)

clean: ## remove what the other targets made
	rm -rf $(VENV) demo-state build dist stockade.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# One lock for every platform and each Python from 3.11 on.
define compile
$(VENV)/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command 'make lock' $(UPGRADE) $(1) --output-file $(2) pyproject.toml
endef

# The package itself comes last and without its dependencies: those are the locked ones.
define install
$(PIP) install --require-hashes --requirement $(1)
$(PIP) install --no-deps --no-build-isolation --editable .
touch $@
endef

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)

$(VENV)/.installed-test: requirements-test.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-test.lock)

# The locking tool has a place of its own: the project neither needs nor tests it.
$(VENV)/uv/bin/uv: | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/uv
	$(VENV)/uv/bin/python -m pip --disable-pip-version-check --quiet install uv==$(UV_VERSION)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Stockade needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1 | head -n 1)." \
	       "Name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),demo)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
