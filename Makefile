# `make setup`, `make test` and `make demo` need make, git and a Python 3; everything else is fetched, by hash.
PYTHON ?= python3
SETUP := $(PYTHON) environments/setup.py
BIN := .venv/bin

# A shell that has sourced ROS exports its own packages to every Python.
unexport PYTHONPATH
unexport PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help setup demo test bench-capture lint format lock check-style check-format check-types check-imports check-tests

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: ## make .venv and the environments in .venvs
	@$(SETUP)

demo: ## run every stage on the virtual rig, or on your files: make demo INPUT=<folder>
	@$(SETUP) fieldrig label-studio nuscenes checkers
	@$(BIN)/python -m examples.demo $(if $(INPUT),--input "$(INPUT)")

test: setup ## run every check and every test; all of them, even when one fails
	@$(MAKE) --no-print-directory --keep-going check-style check-format check-types check-imports check-tests

bench-capture: ## measure the recorder against others, about half an hour; with WHOLE=1 at full length
	@$(SETUP) fieldrig ouster-sdk checkers
	@$(BIN)/python -m benchmarks $(if $(WHOLE),--whole)

lint: ## run the checks without the tests
	@$(SETUP) fieldrig
	@$(MAKE) --no-print-directory --keep-going check-style check-format check-types check-imports

format: ## put the code in order
	@$(SETUP) fieldrig
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

lock: ## recompile the lock files; with UPGRADE=1 take the newest versions that fit
	@$(SETUP) --lock $(if $(UPGRADE),--upgrade)

check-style:
	@$(BIN)/ruff check .

check-format:
	@$(BIN)/ruff format --check .

check-types:
	@$(BIN)/mypy

check-imports:
	@$(BIN)/lint-imports --no-logo

check-tests:
	@$(BIN)/python -m pytest --numprocesses 2
