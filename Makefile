# Every target starts from nothing: `setup` makes the virtual environment and brings what is missing.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PYTHONDONTWRITEBYTECODE ?= 1

.PHONY: help setup lint format test run demo bench clean

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

test: lint ## Lint, then every test
	$(BIN)/python -m pytest -n auto

run: setup ## Everything from nothing to a running system; Ctrl-C stops it
	$(BIN)/python manage.py run_everything

demo: setup ## The main job on every incident at hand, then stop
	$(BIN)/python manage.py demo

bench: setup ## Measurements, as ratios against named peers
	$(BIN)/python -m benchmarks

clean: ## Remove the virtual environment and everything made at run time
	rm -rf $(VENV) var
