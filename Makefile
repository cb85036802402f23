.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
ALONE := tests/flows/test_outage.py tests/integration/test_supervisor_up.py

.PHONY: help setup run test check bench bench-check chaos chaos-real soak lock clean clients clients-js ray-extra

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## virtual environment from the lock (idempotent)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "trader needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Set PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is incomplete; on Debian or Ubuntu: apt install python3-venv"; exit 2; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked packages (about a minute and a half, 2 GB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib trader flows tasks >/dev/null 2>&1 || true
	@touch $(STAMP)

run: setup ## the main job on the built-in demo: no keys, no network
	@$(BIN)/trader up --env demo $(ARGS)

test: setup ## all tests, on two cores; what measures time runs after the rest (ARGS="-k name" for one plain run)
ifeq ($(strip $(ARGS)),)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(addprefix --ignore=,$(ALONE))
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ALONE)
else
	@$(BIN)/python -m pytest $(ARGS)
endif

check: setup ## format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## benchmarks: one JSON line a figure
	@$(BIN)/python -m benchmarks.run_all $(ARGS)

bench-check: setup ## quick benchmarks against benchmarks/goals.toml
	@$(BIN)/python -m benchmarks.run_all --quick --check

clients: setup clients-js ## strangers' clients against the Kraken twin: the table client x operation (ARGS="--renamed": its control)
	@$(BIN)/python -m tests.clients $(ARGS)

clients-js: ## the npm package of the JavaScript client; goes on without node or network, the table then says SKIPPED
	@cd tests/clients/js && { [ -d node_modules/ccxt ] || npm ci --ignore-scripts --no-audit --no-fund --silent; } || echo "no JavaScript client: needs node, npm and the network; its column will say SKIPPED"

chaos: setup ## 200 seeds x 1 simulated day of faults on the whole trader, on both cores (ARGS="--seeds 20 --days 0.25 --json")
	@$(BIN)/python -m tests.chaos --seeds 200 --days 1 --both 2 $(ARGS)

chaos-real: setup ## 300 SIGKILLs of real processes, the exchange in another process (ARGS="--points 3 --kills 9 --repeat 1 --wall 1")
	@$(BIN)/python -m tests.kill --point all --seed 1 $(ARGS)

soak: setup ## three simulated days of broken streams and neighbours on 144 pairs: nothing may grow (ARGS="--days 0.34 --pairs 6")
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

lock: ## recompile requirements.lock from pyproject.toml (needs uv)
	@uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev --output-file requirements.lock pyproject.toml

ray-extra: setup ## Ray beside the locked packages, for optimizer.runner = ray (needs the network)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable ".[ray]"

clean: ## remove what can be rebuilt; never touches state/
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find trader flows tasks tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
