# Everything lives in .venv and is installed from the lock files. Only `make lock` needs uv.

PYTHON ?= python3
UV ?= uv
# What to hand on: make run ARGS="--port 8080", make test PYTEST_ARGS="tests/unit -x", make lock LOCK_ARGS=--upgrade
ARGS ?=
PYTEST_ARGS ?=
# Tests wait more than they compute: four processes are right for two cores.
TEST_PROCESSES ?= 4
LOCK_ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
INSTALL_SELF := $(PIP) install --no-deps --no-build-isolation --editable .
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --no-config --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links
# What building the project takes: the back end of pyproject.toml, and what that asks for to install it editable.
BUILD_REQUIRES := $(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "editables~=0.3", sep="\n")'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo bench test chaos supabase check lock clean

help:
	@echo 'make run    start Ticketflow here, with nothing else installed: http://127.0.0.1:8000'
	@echo 'make demo   send the sample tickets through it and show what happens'
	@echo 'make test   run every test'
	@echo 'make chaos  break real processes for long (CHAOS_SEED=1 replays, CHAOS_TICKETS=1000)'
	@echo 'make supabase  run what concerns one against a real, empty Supabase project (docs/SUPABASE.md)'
	@echo 'make check  format, lint, types, layers'
	@echo 'make bench  measure it beside LangGraph and DBOS (ARGS="durable-steps --plots plots")'
	@echo 'make lock   bring the lock files up to pyproject.toml'
	@echo 'make clean  remove .venv and everything that was built'

run: .venv/.installed
	@exec $(BIN)/ticketflow up $(ARGS)

demo: .venv/.installed
	@exec $(BIN)/ticketflow demo $(ARGS)

# What the benchmark compares with and draws with are dependencies of development.
bench: .venv/.installed-dev
	@exec $(BIN)/ticketflow bench $(ARGS)

test: .venv/.installed-dev
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

# The seed is printed; CHAOS_SEED and CHAOS_TICKETS are read from the environment.
chaos: .venv/.installed-dev
	@CHAOS_FORM=long $(BIN)/python -m pytest -v tests/chaos tests/contract/test_stateful.py $(PYTEST_ARGS)

# SUPABASE_URL, SUPABASE_KEY and SUPABASE_DB_URL are read from the environment; without them the stand-in serves. One process:
# there is one project, and each test empties it.
supabase: .venv/.installed-dev
	@CHAOS_FORM=long $(BIN)/python -m pytest -v -n 0 -k "rest or supabase" \
		tests/contract tests/acceptance/test_supabase.py $(PYTEST_ARGS)

check: .venv/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Ticketflow needs Python 3.11 or newer, and $(PYTHON) is not: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo '$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)' >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.created requirements-embedded.lock requirements-build.lock pyproject.toml
	@echo 'Installing Ticketflow into .venv (once; about a minute)' >&2
	@$(PIP) install --require-hashes -r requirements-embedded.lock -r requirements-build.lock
	@$(INSTALL_SELF)
	@touch $@

.venv/.installed-dev: .venv/.created requirements-dev.lock pyproject.toml
	@echo 'Installing Ticketflow and its tools into .venv (once; about a minute)' >&2
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(INSTALL_SELF)
	@touch .venv/.installed $@

# The development lock holds everything; the others are parts of it, so that all of them agree on every version.
lock:
	@command -v $(UV) >/dev/null || { echo 'make lock needs uv: pip install uv, or make lock UV=/path/to/uv' >&2; exit 1; }
	$(BUILD_REQUIRES) | $(COMPILE) $(LOCK_ARGS) --extra embedded --extra dev -o requirements-dev.lock pyproject.toml -
	$(COMPILE) -c requirements-dev.lock -o requirements.lock pyproject.toml
	$(COMPILE) -c requirements-dev.lock --extra embedded -o requirements-embedded.lock pyproject.toml
	$(BUILD_REQUIRES) | $(COMPILE) -c requirements-dev.lock -o requirements-build.lock -

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
