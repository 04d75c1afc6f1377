# Needs git, make and any Python from 3.11 on; everything else is brought along. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help demo up down test test-images test-browser check bench campaign format lock clean

# The first interpreter that works and is new enough; a version manager's shim may exist and yet not run.
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	path=$$(command -v $$name) && "$$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& "$$path" -c 'import sys; print(sys.executable)' && break; done)
UV := .tools/uv
RUN := $(UV) run --quiet --locked
# The interpreter found above is used; uv fetches none.
export UV_PYTHON := $(PYTHON)
export UV_PYTHON_DOWNLOADS := never
# Trust what the machine trusts: many a company's network has a certificate of its own.
export UV_SYSTEM_CERTS := true

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(UV): deploy/toolchain/install_uv.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed on the PATH (python3, python3.11, ...)" >&2; exit 1; }
	@"$(PYTHON)" deploy/toolchain/install_uv.py .tools

demo: $(UV) ## start everything and run the tour, on real Kafka and PostgreSQL
	@$(RUN) tallyport demo

up: $(UV) ## start the stack in the background (data in ./.data)
	@$(RUN) tallyport up --detach

down: $(UV) ## stop the stack; its data stays
	@$(RUN) tallyport down

test: $(UV) ## run all tests, on real servers
	$(RUN) pytest -m "not campaign and not docker and not browser"

test-images: $(UV) ## build the images and start them; needs a Docker engine
	$(RUN) pytest -m docker tests/images

test-browser: $(UV) ## try the confirmation dialog in a real browser; needs Chromium
	$(RUN) --group browser pytest -m browser tests/browser

check: $(UV) ## lint, format, types, architecture, lock file
	$(UV) lock --check
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports

bench: $(UV) ## measure the data path against its limits
	$(RUN) python tests/benchmarks/run.py

campaign: $(UV) ## the long fault campaign
	$(RUN) pytest -m campaign tests/faults

format: $(UV) ## format the sources and mend what can be mended
	$(RUN) ruff check --fix
	$(RUN) ruff format

lock: $(UV) ## resolve the dependencies anew
	$(UV) lock --upgrade

clean: ## stop the stack and remove everything that was made here, the stack's data too
	@if [ -x .venv/bin/tallyport ] && [ -e .data ]; then .venv/bin/tallyport reset --yes; fi
	rm -rf .venv .tools .data dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
