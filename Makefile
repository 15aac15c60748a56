# Every target starts from nothing: `setup` makes the virtual environment and brings what is missing.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Bytecode is kept: without it every process of a test run compiles all modules again, and pytest rewrites all tests.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup lint format test run demo screens bench fuzz soak clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.ready ## Virtual environment, dependencies, and the browser the tests drive

$(VENV)/.ready: requirements.txt requirements-dev.txt deploy/setup-system.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	sh deploy/setup-system.sh
	touch $@

lint: setup ## ruff, mypy, import-linter, djlint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	ORCH_PROFILE=development DB_HOST=unused $(BIN)/mypy .
	$(BIN)/lint-imports --no-cache
	$(BIN)/djlint --quiet --check --lint templates

format: setup ## Rewrite code and templates in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djlint --quiet --reformat templates

test: lint ## Lint, then every test; CORE=1 leaves out what a very slow machine has no time for, and names it
	$(BIN)/python -m pytest -n auto --dist worksteal $(if $(CORE),--core)

# `make run` is the development profile: loopback callers may use the API without a token, as an operator.
run: export ORCH_PROFILE ?= development
run: export ORCH_ANONYMOUS_API_ROLE ?= operator
run: setup ## Everything from nothing to a running system; Ctrl-C stops it
	@exec $(BIN)/python manage.py run_everything

# A database and directories of its own, removed at the end, so that it shows the same whatever ran before.
demo: setup ## The main job on every incident at hand, then stop
	@dir=$$(mktemp -d) && chmod 755 "$$dir" && \
	  { ORCH_PROFILE=development ORCH_VAR_DIR="$$dir" $(BIN)/python manage.py demo; result=$$?; \
	    rm -rf "$$dir"; exit $$result; }

screens: setup ## Pictures of every page into docs/screens, light and dark
	$(BIN)/python -m pytest tests/support/screens.py

bench: setup var/bench-venv/.ready ## Measurements, as ratios against named peers
	$(BIN)/python -m benchmarks

# One by one, so that a peer that cannot be installed hinders no other; the output names it.
var/bench-venv/.ready: requirements-bench.txt
	$(PYTHON) -m venv var/bench-venv
	grep -v '^#' requirements-bench.txt | xargs -n 1 var/bench-venv/bin/python -m pip install --quiet --disable-pip-version-check || true
	touch $@

fuzz: setup ## Mutants of good bundles against the reader: five minutes, on all cores
	$(BIN)/python -m fuzz

soak: setup ## The queue under 10,000 seeds, every kill point, and chaos with real workers: an hour or two
	$(BIN)/python -m soak

clean: ## Remove the virtual environment and everything made at run time
	rm -rf $(VENV) var
