# make demo | test | check | bench; each makes .venv itself. ARGS is passed on: make demo ARGS=--once
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
SHELL := /bin/bash

# Every fuzz target for SECONDS, one after another: make fuzz SECONDS=600. Needs Python below 3.14.
SECONDS ?= 60

.PHONY: demo check test bench bench-quick fuzz lint types contracts peers constraints clean

demo: .venv/.run
	$(BIN)/leadglass demo $(ARGS)

# A minute, before every commit.
check: .venv/.dev lint types contracts
	$(BIN)/python -m pytest -n 2 -m "not long and not peer" $(ARGS)

# Everything CI runs. The everyday suite first, then what takes long or needs a peer.
test: .venv/.dev peers lint types contracts
	$(BIN)/python -m pytest -n 2 -m "not long and not peer" --durations 5
	$(BIN)/python -m pytest -m "long or peer" --durations 10 $(ARGS)

# The figures of docs/performance.md. Hours on a small machine; bench-quick takes minutes.
bench: .venv/.dev peers
	$(BIN)/python -m benches.receive $(ARGS)
	$(BIN)/python -m benches.memory
	$(BIN)/python -m benches.hostile_wire
	$(BIN)/python -m benches.inspect
	$(BIN)/python -m benches.disarm
	$(BIN)/python -m benches.loss --kills 200

bench-quick: .venv/.dev peers
	$(BIN)/python -m benches.receive --quick $(ARGS)

fuzz: .venv/.dev
	$(BIN)/python fuzz/every.py --seconds $(SECONDS) $(ARGS)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev
	$(BIN)/mypy

contracts: .venv/.dev
	$(BIN)/lint-imports

peers:
	tools/install_peers.sh

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Leadglass needs Python 3.11 or newer; say make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

# Every package is pinned with its hashes; the build needs nothing from outside after that.
.venv/.run: constraints-run.txt pyproject.toml | .venv/bin/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(PIP) install --require-hashes -r constraints-run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: constraints.txt .venv/.run
	$(PIP) install --require-hashes -r constraints.txt
	@touch $@

# After a change of dependencies: needs uv.
constraints:
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --group build pyproject.toml -o constraints-run.txt
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --group build --group dev pyproject.toml -o constraints.txt

clean:
	rm -rf .venv .peers .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
