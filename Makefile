# The stack by name. `make help` lists everything; the work is done by compose.yaml, stack/ and pytest.
# Settings (SERVER=… INTERFACE=… APP=… WORKERS=… THREADS=… PROXY=…) go on the command line or into .env.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
STACK := $(PYTHON) -m stack
TOOLS := $(PYTHON) -m tools
COMPOSE := docker compose

.PHONY: help
help: ## This list
	@echo "make [target] [SERVER=granian] [INTERFACE=asgi|wsgi] [APP=bare] [WORKERS=2] [THREADS=8] [PROXY=nginx|caddy|apache|traefik]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: engine
engine: ## Find a working Docker; on Debian and Ubuntu as root, install and start what is missing
	@$(STACK) engine

.PHONY: up
up: ## Start the stack, or swap its server: make up SERVER=uvicorn
	@$(STACK) up

.PHONY: down
down: ## Remove this stack's containers, networks and volumes, and nothing else
	@$(STACK) down

.PHONY: ps
ps: ## What runs
	@$(STACK) ps

.PHONY: logs
logs: ## Follow the logs of all parts (Ctrl-C ends it)
	@$(STACK) logs

.PHONY: trust
trust: ## Write the local authority to ca.pem and say how to trust it
	@$(STACK) trust

.PHONY: images
images: ## Decide anew which base images to use: the official ones, or stand-ins
	@$(STACK) images

.PHONY: test
test: $(BIN)/ready ## Every promise, on real containers of the tests' own (about a quarter of an hour)
	@$(STACK) build
	@$(BIN)/python -m pytest -n auto $(if $(FAST),--fast) $(PYTEST_ARGS)

.PHONY: claims
claims: $(BIN)/ready ## Measure what the documents claim, and write docs/claims.md (ONLY=C20,C21: some; PINS=gunicorn==23.0.0: C18 on another release)
	@$(TOOLS) claims

.PHONY: bench
bench: $(BIN)/ready ## Which server, behind which proxy, at what cost? (QUICK=1, FULL=1, SERVERS=… PROXIES=… SCENARIOS=… RUN=…: go on)
	@$(BIN)/python -m loadtests bench

.PHONY: bench-ui
bench-ui: ## Locust's web page on the running stack, to try and not to measure (UI_PORT=8089)
	@$(PYTHON) -m loadtests bench-ui

.PHONY: report
report: $(BIN)/ready ## The report of a run of the bench, anew: make report RUN=<run>
	@$(BIN)/python -m loadtests report

.PHONY: reference
reference: $(BIN)/ready ## Take a run of the bench into docs/bench, for the README: make reference RUN=<run>
	@$(BIN)/python -m loadtests reference

.PHONY: compare
compare: ## Two runs of the bench side by side, with a verdict for each cell: make compare A=<run> B=<run>
	@$(PYTHON) -m loadtests compare

.PHONY: lint
lint: $(BIN)/ready ## Every check of every language here
	@$(STACK) build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/shellcheck apps/servers/*/*.sh */*.sh .ci/run
	$(BIN)/hadolint */Dockerfile tests/claims/probe/Dockerfile
	$(BIN)/yamllint --strict .
	@$(TOOLS) lint

.PHONY: format
format: $(BIN)/ready ## Let ruff rewrite the Python here
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: docs
docs: ## Write the generated parts of the README and docs/
	@$(TOOLS) docs

.PHONY: lock
lock: ## Pin new dependencies, with hashes: requirements/*.txt (UPGRADE=1: pin all anew)
	@$(TOOLS) venv
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements/lock.txt
	@for set in app:3.14 mod_wsgi:3.14 caddy:3.14 traefik:3.14 dev:3.11 lock:3.11 probe:3.14 load:3.14; do \
	  echo "lock: $${set%:*}"; \
	  $(BIN)/uv pip compile --quiet $(if $(UPGRADE),--upgrade) --universal --python-version "$${set#*:}" --generate-hashes --no-header \
	    --no-annotate --no-emit-index-url --no-emit-find-links \
	    --output-file "requirements/$${set%:*}.txt" "requirements/$${set%:*}.in" || exit 1; \
	done

.PHONY: clean
clean: ## Remove what make left: the images of this folder, .venv and caches
	@$(STACK) clean
	rm -rf .venv .cache ca.pem

$(BIN)/ready: requirements/dev.txt
	@$(TOOLS) venv
	@echo "test: installing the tools into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@touch $@
