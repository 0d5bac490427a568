# The project's commands. `make help` lists them. compose.yaml, stack/, tools/, loadtests/ and pytest do the work.
# Settings (SERVER=… INTERFACE=… APP=… WORKERS=… THREADS=… PROXY=…) go on the command line or into .env (.env.example).
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
STACK := $(PYTHON) -m stack
TOOLS := $(PYTHON) -m tools
# What is given on the command line goes on as it is: CMD='echo $HOME' keeps its dollar. Default: make expands it.
COMMAND_LINE := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(COMMAND_LINE),$(eval override $(name) := $$(value $(name)))$(eval export $(name)))

.PHONY: help
help: ## List the targets
	@echo "make [target] [SERVER=granian] [INTERFACE=asgi|wsgi] [APP=bare] [WORKERS=2] [THREADS=8] [PROXY=nginx,caddy]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: engine
engine: ## Check that Docker works; on Debian and Ubuntu as root, install and start what is missing
	@$(STACK) engine

.PHONY: up
up: ## Start the stack, or swap its server: make up SERVER=uvicorn
	@$(STACK) up

.PHONY: down
down: ## Remove this stack's containers and networks; the data stays in its volumes
	@$(STACK) down

.PHONY: destroy
destroy: ## Remove this stack with its data: the volumes too (it asks; YES=1 answers)
	@$(STACK) destroy

.PHONY: ps
ps: ## Show what runs
	@$(STACK) ps

.PHONY: run
run: ## Run a command in the application's image and environment: make run CMD="python manage.py migrate"
	@$(STACK) run

.PHONY: logs
logs: ## Follow the logs of all parts (Ctrl-C ends this); ID=…: the lines of one request
	@$(STACK) logs

.PHONY: export
export: ## Write the running choice as a folder that needs Docker only: make export TO=../shop/deploy
	@$(STACK) export

.PHONY: trust
trust: ## Write the local authority's certificate to ca.pem, and say how to trust it
	@$(STACK) trust

.PHONY: images
images: ## Choose the base images again: the official ones, or stand-ins
	@$(STACK) images

.PHONY: test
test: $(BIN)/ready ## Run every test, on containers of their own (FAST=1: the tests that one change needs; PYTEST_ARGS=…)
	@$(STACK) build
	@$(BIN)/python -m pytest -n auto $(if $(FAST),--fast) $(PYTEST_ARGS)

.PHONY: test-deployments
test-deployments: $(BIN)/ready ## Run the tests of exported folders, rolls, backups, ACME and several applications
	@$(STACK) build
	@$(BIN)/python -m pytest -n auto -m deployments --timeout 300 $(PYTEST_ARGS)

.PHONY: test-guests
test-guests: $(BIN)/ready ## Run applications of other people's (Radicale, Wagtail …) as their users do (PYTEST_ARGS="-k radicale")
	@$(STACK) build
	@$(BIN)/python -m pytest -m guests --timeout 600 $(PYTEST_ARGS)

.PHONY: claims
claims: $(BIN)/ready ## Measure the talk's claims, and write docs/claims.md (ONLY=C20,C21: some; PINS=gunicorn==23.0.0: C18 on another release)
	@$(TOOLS) claims

.PHONY: streams
streams: $(BIN)/ready ## Measure streams and WebSockets on every server behind every proxy, and write docs/streams.md (6 minutes)
	@$(TOOLS) streams
	@$(TOOLS) docs

.PHONY: bench
bench: $(BIN)/ready ## Measure what a request costs, by server and proxy (QUICK=1, FULL=1, SERVERS=… PROXIES=… SCENARIOS=…; RUN=…: continue a run)
	@$(BIN)/python -m loadtests bench

.PHONY: bench-ui
bench-ui: ## Open Locust's web page on the running stack, to try it out (UI_PORT=8089)
	@$(PYTHON) -m loadtests bench-ui

.PHONY: report
report: $(BIN)/ready ## Write the report of a bench run again: make report RUN=<run>
	@$(BIN)/python -m loadtests report

.PHONY: reference
reference: $(BIN)/ready ## Copy a bench run to docs/bench, for the README: make reference RUN=<run>
	@$(BIN)/python -m loadtests reference

.PHONY: compare
compare: ## Compare two bench runs, with a verdict for each cell: make compare A=<run> B=<run>
	@$(PYTHON) -m loadtests compare

.PHONY: lint
lint: $(BIN)/ready ## Check the code, scripts and configuration files
	@$(STACK) build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck apps/servers/*/*.sh */*.sh $(filter-out %.py,$(wildcard deploy/*)) .ci/run
	$(BIN)/hadolint */Dockerfile loadtests/generator/Dockerfile tests/claims/probe/Dockerfile
	$(BIN)/yamllint --strict .
	@$(TOOLS) lint

.PHONY: format
format: $(BIN)/ready ## Format the Python code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: ## Write the generated parts of the README and docs/
	@$(TOOLS) docs

.PHONY: lock
lock: ## Pin the dependencies with hashes: requirements/*.txt (UPGRADE=1: the newest releases)
	@$(TOOLS) lock

.PHONY: outdated
outdated: ## List the pins that have a newer release, with their changelogs
	@$(TOOLS) outdated

.PHONY: clean
clean: ## Remove this folder's images, .venv and caches
	@$(STACK) clean
	rm -rf .venv .cache ca.pem

$(BIN)/ready: requirements/dev.txt
	@$(TOOLS) venv
	@echo "venv: installing the tools into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@touch $@
