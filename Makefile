# Every target but `help` makes the environment first if it is missing or out of date, and ends with one line that sums up
# what it saw; a status other than 0 says that something fell short.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
RUN := $(BIN)/python

# What the long runs take: make simulate SECONDS=600 SEED=7, make chaos MINUTES=10.
SECONDS ?= 60
SEED ?=
STEPS ?=
MINUTES ?= 3
# For one test or one file: make test TESTS=tests/rules
TESTS ?= tests
# Most of the time of all tests goes by waiting for servers, so two files at a time are played; each has servers of its own.
JOBS ?= 2

# A program that a target starts. One that does not exist yet is a failure, not a silent success.
# $(call program,TARGET,FILE,COMMAND)
define program
	@if [ ! -e "$(2)" ]; then echo "$(1): not built yet: there is no $(2); nothing was run"; exit 1; fi
	@$(3)
endef

.PHONY: help setup demo test lint format simulate chaos hubspot-live bench bench-quick mutants locks clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: ## the environment in .venv, from locks with hashes
	@python=""; \
	for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
	  command -v $$candidate >/dev/null 2>&1 || continue; \
	  if $$candidate -c 'import sys; sys.exit(not sys.version_info >= (3, 11))' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  found=`$(or $(PYTHON),python3) --version 2>&1 || true`; \
	  echo "setup: Tandem needs Python 3.11 or newer on PATH; $(or $(PYTHON),python3) here: $$found."; \
	  echo "setup: install one (Debian, Ubuntu: python3 python3-venv), or name it: make setup PYTHON=python3.12"; \
	  exit 1; \
	fi; \
	$$python deploy/environment.py
	@if [ "$(MAKECMDGOALS)" = setup ]; then echo "setup: .venv is ready: `$(BIN)/python --version`, `ls -d .venv/lib/python*/site-packages/*.dist-info | wc -l | tr -d ' '` packages"; fi

demo: setup ## the main job, with nothing to set up: two databases in live two-way sync
	$(call program,demo,console/cli.py,$(BIN)/tandem demo)

test: setup ## all tests, with real servers
	@$(RUN) -m pytest -q $(TESTS) $(if $(filter tests,$(TESTS)),-n $(JOBS) --dist loadfile)

lint: setup ## ruff, format, types, import contracts
	@failed=""; \
	echo "ruff check"; $(BIN)/ruff check . || failed="$$failed ruff-check"; \
	echo "ruff format"; $(BIN)/ruff format --check . || failed="$$failed ruff-format"; \
	echo "mypy"; $(BIN)/mypy . || failed="$$failed mypy"; \
	echo "import contracts"; $(BIN)/lint-imports --no-logo || failed="$$failed import-contracts"; \
	if [ -n "$$failed" ]; then echo "lint: failed:$$failed"; exit 1; fi; \
	echo "lint: ruff, format, types and import contracts are clean in `git ls-files -co --exclude-standard '*.py' | wc -l | tr -d ' '` files"

format: setup ## puts the code into its form
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format .

simulate: setup ## random histories against the pure rules: SECONDS=60 or STEPS=, SEED=
	$(call program,simulate,tests/simulation/__main__.py,$(RUN) -m tests.simulation $(if $(STEPS),--steps $(STEPS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)))

chaos: setup ## kills and stops processes of a running pipeline, then counts: MINUTES=3
	$(call program,chaos,tests/streams/chaos.py,$(RUN) -m tests.streams.chaos --seconds $$(( $(MINUTES) * 60 )) $(if $(SEED),--seed $(SEED)))

hubspot-live: setup ## the HubSpot connector against a real account (HUBSPOT_TOKEN)
	$(call program,hubspot-live,tests/connectors/hubspot_live.py,$(RUN) -m tests.connectors.hubspot_live)

bench: setup ## throughput, latency, scale
	$(call program,bench,bench/__main__.py,$(RUN) -m bench)

bench-quick: setup ## the same, in a few minutes
	$(call program,bench-quick,bench/__main__.py,$(RUN) -m bench --quick)

mutants: setup ## plants faults and shows that a test fails for each
	$(call program,mutants,tests/mutants/__main__.py,$(RUN) -m tests.mutants)

# One lock for every Python from 3.11 on and every platform; what is locked already stays unless UPGRADE=1.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --strip-extras \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate --quiet $(if $(UPGRADE),--upgrade)

locks: setup ## locks requirements/*.in anew (UPGRADE=1 takes newer versions)
	@cd requirements && ../$(LOCK) runtime.in -o runtime.txt && ../$(LOCK) -c runtime.txt dev.in -o dev.txt
	@if grep -nE '://|(^|[ =])/' requirements/runtime.txt requirements/dev.txt; then \
	  echo "locks: a lock names a host or a path; see above"; exit 1; fi
	@echo "locks: `grep -c == requirements/runtime.txt` packages to run on, `grep -c == requirements/dev.txt` in all"

clean: ## what tools left behind; .venv and .tandem stay
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache ./*.egg-info
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@echo "clean: caches and build folders are gone"
