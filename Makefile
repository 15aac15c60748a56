# Every target starts from nothing: it makes the virtual environment and brings what it needs and is missing.
# PYTHON=… names the Python of a new environment; without it, the newest of 3.11 to 3.14 is taken.
export PYTHON
VENV := .venv
BIN := $(VENV)/bin
# Bytecode is kept: without it every process of a test run compiles all modules again, and pytest rewrites all tests.
export PYTHONDONTWRITEBYTECODE :=
MYPY := ORCH_PROFILE=development DB_HOST=unused $(BIN)/mypy

.PHONY: help setup lint format check test run demo verifier screens bench fuzz soak large watched lock clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

setup: $(VENV)/.test-ready ## Virtual environment, all dependencies, and the browser the tests drive

$(VENV)/.run-ready: requirements.txt requirements-setup.txt deploy/setup-python.sh deploy/uv.sh
	@sh deploy/setup-python.sh $(VENV) requirements.txt
	@touch $@

$(VENV)/.test-ready: $(VENV)/.run-ready requirements-dev.txt deploy/setup-system.sh
	@sh deploy/setup-python.sh $(VENV) requirements-dev.txt
	@sh deploy/setup-system.sh
	@touch $@

lint: $(VENV)/.test-ready ## ruff, mypy, import-linter, djlint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MYPY) .
	$(BIN)/lint-imports --no-cache
	$(BIN)/djlint --quiet --check --lint templates

format: $(VENV)/.test-ready ## Rewrite code and templates in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djlint --quiet --reformat templates

# What `check` lints: files that differ from this commit, and new ones.
SINCE ?= HEAD
CHANGED = $(sort $(shell git diff --name-only --diff-filter=d $(SINCE) -- $(1); git ls-files --others --exclude-standard -- $(1)))
# Quick tests of every app: no browser, no killed processes, no million rows.
CHECKED := tests/foundation tests/custody tests/docs tests/rest/test_access.py tests/rest/test_calls.py \
  tests/rest/test_refusals.py tests/jobs/test_queue.py tests/jobs/test_order.py tests/jobs/test_attempt.py \
  tests/bundles/test_services.py tests/bundles/test_verifying.py tests/bundles/test_storage.py tests/format/test_manifest.py \
  tests/format/test_members.py tests/format/test_signatures.py tests/format/test_vectors.py tests/rehydration/test_restore.py \
  tests/incidents/test_known.py tests/site/test_settings_documented.py \
  tests/site/test_settings_environment.py tests/console/test_help.py tests/console/test_home.py \
  --deselect tests/format/test_vectors.py::test_the_script_makes_the_same_files_again

check: $(VENV)/.test-ready ## Lint of what changed (SINCE=commit, default HEAD) and the quick tests: a minute or two
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(call CHANGED,'*.py'),$(MYPY) $(call CHANGED,'*.py'))
	$(if $(call CHANGED,'*.py'),$(BIN)/lint-imports --no-cache)
	$(if $(call CHANGED,'*.html'),$(BIN)/djlint --quiet --check --lint $(call CHANGED,'*.html'))
	$(BIN)/python -m pytest -q -n auto --dist worksteal $(CHECKED)

test: lint ## Lint, then every test; CORE=1 leaves out what a very slow machine has no time for, and names it
	$(BIN)/python -m pytest -n auto --dist worksteal $(if $(CORE),--core)

# `make run` is the development profile: loopback callers may use the API without a token, as an operator.
run: export ORCH_PROFILE ?= development
run: export ORCH_ANONYMOUS_API_ROLE ?= operator
run: $(VENV)/.run-ready ## Everything from nothing to a running system; Ctrl-C stops it
	@exec $(BIN)/python manage.py run_everything

# A database and directories of its own, removed at the end, so that it shows the same whatever ran before.
demo: $(VENV)/.run-ready ## The main job on every sample incident, then stop
	@dir=$$(mktemp -d) && chmod 755 "$$dir" && \
	  { ORCH_PROFILE=development ORCH_VAR_DIR="$$dir" $(BIN)/python manage.py demo; result=$$?; \
	    rm -rf "$$dir"; exit $$result; }

verifier: $(VENV)/.run-ready ## dist/verify_bundle.pyz: the verifier in one file
	$(BIN)/python tools/build_verifier.py dist/verify_bundle.pyz

screens: $(VENV)/.test-ready ## Pictures of every page into docs/screens, light and dark
	$(BIN)/python -m pytest tests/support/screens.py

bench: $(VENV)/.test-ready var/bench-venv/.ready ## Measurements, as ratios against named peers
	$(BIN)/python -m benchmarks

# Where they do not all install, one by one, so that one peer hinders no other; the output names it. Then without hashes,
# which pip takes from no file for a package with extras.
PEERS := $(shell grep -v '^[#-]' requirements-bench.in)
PEER_PINS = $(foreach peer,$(PEERS),$(peer)==$(shell sed -n 's/^$(firstword $(subst [, ,$(peer)))==\([^ ]*\).*/\1/p' requirements-bench.txt))
var/bench-venv/.ready: requirements-bench.txt $(VENV)/.run-ready
	@PYTHON=$(BIN)/python sh deploy/setup-python.sh var/bench-venv requirements-bench.txt || \
	  for peer in $(PEER_PINS); do var/bench-venv/bin/python -m pip install --quiet --disable-pip-version-check \
	    "$$peer" || true; done
	@touch $@

fuzz: $(VENV)/.test-ready ## Mutants of good bundles and archives against the readers: ten minutes, on all cores
	$(BIN)/python -m fuzz

soak: $(VENV)/.test-ready ## The queue under 10,000 seeds, every kill point, and chaos with real workers: an hour or two
	$(BIN)/python -m soak

large: $(VENV)/.test-ready ## A fetch of 2 GB that is killed ten times: a minute or two
	LARGE_FETCH_MIB=2048 $(BIN)/python -m pytest -q -s tests/bundles/test_sources_killed.py

watched: $(VENV)/.test-ready ## 500 files in the watched folder over two workers, a kill and a restart: some minutes
	WATCH_FILES=500 $(BIN)/python -m pytest -q tests/bundles/intake/test_watch.py -k two_hosts

# The versions that are pinned stay, but with UPGRADE=1.
LOCK = sh deploy/uv.sh $(VENV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

lock: ## Pin all dependencies with hashes from requirements*.in; UPGRADE=1 takes the newest versions
	@sh deploy/setup-python.sh $(VENV)
	$(LOCK) --output-file requirements-setup.txt requirements-setup.in
	$(LOCK) --output-file requirements.txt requirements.in
	$(LOCK) --output-file requirements-velociraptor.txt requirements-velociraptor.in
	$(LOCK) --output-file requirements-dev.txt requirements-dev.in
	$(LOCK) --output-file requirements-bench.txt requirements-bench.in

clean: ## Remove the virtual environment and everything made at run time
	rm -rf $(VENV) var dist
