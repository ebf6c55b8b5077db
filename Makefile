# Every target sets up what it needs: on a new machine `make demo` or `make test` is the first command.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo up down status test test-unit test-integration test-plugin test-openclaw test-cluster bench-plugin bench faults web setup-browser test-web screenshots check check-web test-pages lint types arch format schemas openapi dashboards check-deploy lock clean

##@ Start here
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## Set everything up, replay captured runs through the real stack, show what came out
	@$(MAKE) --no-print-directory web || echo "THE PAGES ARE NOT BUILT: npm's packages cannot be had. All else works; try 'make web' later."
	@$(BIN)/clawtrace demo

test: check test-pages test-plugin ## Set everything up and run the whole test suite
	@$(BIN)/clawtrace fetch
	@$(BIN)/python -m pytest
	@$(BIN)/python -m pytest --durations=8 tests/cluster

##@ The local stack
setup: $(STAMP) ## Install the locked Python packages into .venv
	@:

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: '$(PYTHON)' was not found. Set PYTHON=… to its path."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked Python packages into $(VENV) (about a minute the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

up: setup ## Start the stack; returns when every part is healthy
	@$(BIN)/clawtrace up

down: setup ## Stop the stack; nothing is left running
	@$(BIN)/clawtrace down

status: setup ## Say how each part is
	@$(BIN)/clawtrace status

##@ Tests and figures
test-unit: setup ## Run the tests that need no stack
	@$(BIN)/python -m pytest tests/unit tests/contract tests/property

test-integration: setup ## Run the tests on the real stack
	@$(BIN)/python -m pytest tests/integration

test-plugin: setup ## Run the plugin's own tests in Node
	@cd producers/openclaw_plugin && PATH="$(CURDIR)/$(BIN):$$PATH" node --test 'test/*.test.mjs'

test-openclaw: setup ## Run the plugin in real OpenClaw from npm, against the real stack
	@$(BIN)/clawtrace fetch
	@$(BIN)/python -m pytest -s --durations=8 tests/openclaw

test-cluster: setup ## Run the processes in the shape of a cluster: two brokers with TLS and SASL, an object store, two Trino nodes
	@$(BIN)/clawtrace fetch
	@$(BIN)/python -m pytest --durations=8 tests/cluster

bench-plugin: setup ## Measure what the plugin costs an agent, in real OpenClaw with and without it (six minutes)
	@$(BIN)/python -m tests.openclaw.overhead

bench: setup ## Measure each part against what it stands on, then the API over a million spans (BENCHMARKS.md)
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.bench.api_times

ROUNDS ?= 10
faults: setup ## Kill and hold parts of a stack of its own for ROUNDS=10 rounds, then compare the tables with the ledger
	@$(BIN)/clawtrace fetch
	@$(BIN)/python -m tests.faults --rounds $(ROUNDS)

##@ The pages
WEB := api/web
# Node and npm come with the locked Python packages.
NODE_PATH := PATH="$(CURDIR)/$(BIN):$$PATH"
SCREENSHOTS ?= /tmp/clawtrace-screenshots

web: $(WEB)/dist/index.html ## Build the pages that the API serves
	@:

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json | $(STAMP)
	@echo "Installing what the pages are built with into $(WEB)/node_modules …"
	@cd $(WEB) && $(NODE_PATH) npm ci --silent --no-progress

$(WEB)/dist/index.html: $(WEB)/node_modules/.package-lock.json api/schemas/openapi.json $(wildcard $(WEB)/*.ts $(WEB)/*.html) $(shell find $(WEB)/src $(WEB)/public -type f -not -name schema.d.ts 2>/dev/null)
	@echo "Building the pages …"
	@cd $(WEB) && $(NODE_PATH) npm run --silent api-types && $(NODE_PATH) npm run --silent types && $(NODE_PATH) npm run --silent build -- --logLevel warn

check-web: web ## Check types and style of the pages and of their tests, build them, test their logic in Node
	@cd $(WEB) && $(NODE_PATH) npm run --silent lint && $(NODE_PATH) npm run --silent test

setup-browser: $(WEB)/node_modules/.package-lock.json ## Find a Chromium for the tests of the pages, or unpack the one that an npm package holds (x86-64)
	@cd $(WEB)/browser && $(NODE_PATH) node find.mjs --quiet || { $(NODE_PATH) npm ci --silent --no-progress && $(NODE_PATH) node unpack.mjs && $(NODE_PATH) node find.mjs; }

# Without npm's registry the pages, and without a browser the tests in one, are left out, and that is said; everything
# else is tested. What is there and fails, fails.
test-pages: setup
	@if $(MAKE) --no-print-directory $(WEB)/node_modules/.package-lock.json; then \
		$(MAKE) --no-print-directory check-web || exit 1; \
		$(MAKE) --no-print-directory setup-browser \
			|| echo "NO BROWSER: the pages will not be tested in one. Install Chromium, or see why 'make setup-browser' fails."; \
		else echo "NO PACKAGES FROM NPM: the pages are not built and not tested."; fi

test-web: check-web setup-browser ## Test the pages: logic in Node, every page in Chromium over the stack (make up first)
	@cd $(WEB) && $(NODE_PATH) npx --no-install playwright test

screenshots: web setup-browser ## Take pictures of every page into SCREENSHOTS=…, to be looked at (make up first)
	@mkdir -p $(SCREENSHOTS)
	@cd $(WEB) && CLAWTRACE_SCREENSHOTS=$(abspath $(SCREENSHOTS)) $(NODE_PATH) npx --no-install playwright test screenshots
	@echo "Look at them: $(SCREENSHOTS)"

##@ In production
# promtool comes from Debian's package, helm from its Go module, when they are not at hand; both stay in this folder.
DEPLOY_TOOLS := build/deploy-tools
PROMTOOL ?= $(shell command -v promtool || echo $(DEPLOY_TOOLS)/promtool)
HELM ?= $(shell command -v helm || echo $(DEPLOY_TOOLS)/helm)
HELM_MODULE := helm.sh/helm/v3/cmd/helm@v3.22.0

check-deploy: setup ## Check alert rules, dashboards, the compose file and the chart; no container engine is needed
	@mkdir -p $(DEPLOY_TOOLS)
	@test -x $(PROMTOOL) || { command -v apt-get >/dev/null && cd $(DEPLOY_TOOLS) && apt-get download -q prometheus \
		&& dpkg -x prometheus_*.deb deb && mv deb/usr/bin/promtool . && rm -r deb prometheus_*.deb; } || true
	@test -x $(HELM) || { command -v go >/dev/null && echo "Building helm (some minutes, once) …" \
		&& GOBIN=$(CURDIR)/$(DEPLOY_TOOLS) CGO_ENABLED=0 go install $(HELM_MODULE); } || true
	@if test -x $(PROMTOOL); then $(PROMTOOL) check rules infra/prometheus/rules.yaml \
		&& $(PROMTOOL) check config infra/prometheus/prometheus.yaml && $(PROMTOOL) test rules infra/prometheus/rules.test.yaml; \
		else echo "NOT CHECKED by promtool, which is not to be had here: the alert rules. Tests read their expressions."; fi
	@if test -x $(HELM); then HELM=$(abspath $(HELM)) $(BIN)/python -m pytest -q tests/deploy tests/unit/infra/observability; \
		else echo "NOT RENDERED: the chart, because there is no helm."; $(BIN)/python -m pytest -q tests/deploy tests/unit/infra/observability; fi
	@echo "NOT CHECKED here: that the image builds and that containers start; both need a container engine."

##@ Habits
check: setup lint types arch ## Lint, types and import rules, in under a minute

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "Run 'make format'."; exit 1; }

types: setup
	@$(BIN)/mypy

arch: setup
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: setup ## Format the code and mend what can be mended
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --fix .

schemas: setup ## Write the JSON schemas and the reference pages anew
	@$(BIN)/python -m tests.contract.generate
	@$(BIN)/python -m tests.contract.reference

openapi: setup ## Write the OpenAPI document anew
	@CLAWTRACE_UPDATE_OPENAPI=1 $(BIN)/python -m pytest -q tests/unit/api -k openapi

dashboards: setup ## Write the dashboards anew from infra/grafana/sources
	@$(BIN)/python -m infra.grafana.panels

lock: setup ## Resolve the Python packages anew (needs uv); no index address is written
	@uv pip compile -q --no-config --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --all-extras --no-header pyproject.toml -o requirements.lock
	@uv pip compile -q --no-config --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --extra build --no-header -c requirements.lock pyproject.toml -o infra/compose/requirements.lock

clean: ## Remove the installed packages; data of the stack stays (rm -r .clawtrace for that)
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
