# Everything runs in .venv, which the first target that needs it builds. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# The order service and the payment service of the demo listen here.
export ORDER_PORT ?= 8001
export PAYMENT_PORT ?= 8002

.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Build .venv with everything that the other targets need

$(READY): pyproject.toml constraints.txt samples/order-service/pyproject.toml samples/payment-service/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": name another with make PYTHON=…")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python's venv module is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable '.[dev]' --editable samples/order-service --editable samples/payment-service
	@touch $(READY)

demo: $(READY) ## Play the main job: two services, 500 orders, a kill -9, a rebuild, a check of every event (KEEP=1 leaves it running; BROKER=kafka DATABASE=postgresql)
	@$(BIN)/python -m samples.demo

test: $(READY) ## Run the tests that need nothing but Python
	$(BIN)/pytest -m 'not interop' -n 2 --dist loadfile

test-interop: $(READY) ## Run the tests that need Java, Node, Go or Debian packages
	$(BIN)/pytest -m interop

cluster: $(READY) ## Three nodes of Apache Kafka and PostgreSQL, and the two settings that bring a service there
	@$(BIN)/python -m tests.servers up .cluster

cluster-down: $(READY) ## End them, and remove what they kept
	@$(BIN)/python -m tests.servers down .cluster

soak: $(READY) ## Kill everything again and again: CYCLES (100) times a case; ONLY=… narrows it as pytest's -k does, CRASH_SEED=… repeats a run
	CYCLES=$(or $(CYCLES),100) $(BIN)/pytest tests/crash --timeout=7200 $(if $(ONLY),-k '$(ONLY)') -s -v

bench: $(READY) ## Measure beside Apache Kafka and other frameworks, in half an hour (ONLY=broker.produce: some of it), and draw it
	$(BIN)/python -m benchmarks --only '$(ONLY)' $(if $(ONLY),,--publish)

bench-quick: $(READY) ## The most important of it in three minutes
	$(BIN)/python -m benchmarks --mode quick --only '$(ONLY)'

bench-scale: $(READY) ## The long curves: how cost grows with size
	$(BIN)/python -m benchmarks --mode scale --only '$(ONLY)'

check: $(READY) ## Lint, format, strict types (mypy and basedpyright), import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/python -m tests.typing.check
	$(BIN)/lint-imports

format: $(READY) ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove .venv and everything that was built
	rm -rf $(VENV) .bench build dist .demo .interop .cluster *.egg-info samples/*/*.egg-info

.PHONY: help setup demo test test-interop cluster cluster-down soak bench bench-quick bench-scale check format clean
