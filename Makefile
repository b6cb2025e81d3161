# Everything that is done with this project. `make` alone lists it.
# A fresh machine needs Python 3.11 or later, make and a package registry.

PYTHON ?= python3

PY := .venv/bin/python
SETUP := .venv/.ready .venv-emulator/.ready
SOURCES := $(wildcard functions local tests benchmarks)

# uv does not read pip's settings, so it is handed the registry that pip was told of.
# It must neither download an interpreter nor follow an environment that is active.
UV = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$( \
	$(PYTHON) -m pip config get global.index-url 2>/dev/null || true)}}}" \
	UV_PYTHON_DOWNLOADS=never $(PY) -m uv
INSTALL = $(UV) pip sync --quiet --require-hashes
COMPILE = $(UV) --directory $(1) pip compile $(2) --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(SETUP) ## Show it at work on this machine, without an AWS account
	@PYTHONPATH=functions $(PY) -m local.demo

.PHONY: test
test: lint test-main test-3.13 ## Lint, then run every test on each Python found

.PHONY: unit
unit: .venv/.ready ## Run the unit tests alone
	@$(PY) -m pytest tests/unit

.PHONY: integration
integration: $(SETUP) ## Run the tests against the embedded cloud alone
	@$(PY) -m pytest tests/integration

.PHONY: lint
lint: .venv/.ready pins-check ## Check style, types, the architecture and the pins
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy $(SOURCES)
	@PYTHONPATH=functions .venv/bin/lint-imports --no-logo

.PHONY: format
format: .venv/.ready ## Mend what can be mended without thought
	@$(PY) -m ruff check --fix-only
	@$(PY) -m ruff format

.PHONY: setup
setup: $(SETUP) .venv-3.13/.ready ## Make the environments; the other targets do so by themselves
	@echo "== Ready: $(wildcard .venv .venv-3.13 .venv-emulator)"

.PHONY: pins
pins: .venv/.uv ## Bring requirements/ up to date with pyproject.toml
	@$(call compile_pins,.)

.PHONY: pins-upgrade
pins-upgrade: .venv/.uv ## Move every pin to the latest release allowed
	@$(call compile_pins,.,--upgrade)

.PHONY: pins-check
pins-check: .venv/.pins-checked ## Fail when requirements/ is not what `make pins` would write
	@echo "The pins are those of pyproject.toml."

.PHONY: clean
clean: ## Remove the environments and what the tools leave behind
	@rm -rf .venv .venv-3.13 .venv-emulator build dist
	@rm -rf .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +


# Tests. Branch coverage must be complete on each Python, or pytest fails.

.PHONY: test-main
test-main: $(SETUP)
	@$(call run_tests,.venv)

.PHONY: test-3.13
test-3.13: $(SETUP) .venv-3.13/.ready
	@if [ -e .venv-3.13/.ready ]; then $(call run_tests,.venv-3.13); fi

define run_tests
echo "== Tests on $$($(1)/bin/python --version)"; \
COVERAGE_FILE=$(1)/.coverage $(1)/bin/python -m pytest --cov
endef


# Environments. Each ends with a stamp, so one that was interrupted is made again.

.venv/.uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	@echo "== Making .venv for $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv
	@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.venv/.ready: requirements/dev.txt .venv/.uv
	@$(INSTALL) --python .venv $<
	@touch $@

.venv-emulator/.ready: requirements/emulator.txt | .venv/.uv
	@echo "== Making .venv-emulator for the AWS emulator"
	@$(UV) venv --quiet --no-project --clear --python $(PY) .venv-emulator
	@$(INSTALL) --python .venv-emulator $<
	@touch $@

# Where this machine has a second Python. A version manager may hide it, or offer one that does not run.
.venv-3.13/.ready: requirements/dev.txt | .venv/.uv
	@if $(PY) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))'; then exit; fi; \
	for bin in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13.*/bin; do PATH="$$PATH:$$bin"; done; \
	if python=$$($(UV) python find --no-project --system 3.13 2>/dev/null); then \
		echo "== Making .venv-3.13 for $$("$$python" --version)"; \
		$(UV) venv --quiet --no-project --clear --python "$$python" .venv-3.13; \
		$(INSTALL) --python .venv-3.13 $<; \
		touch $@; \
	else \
		echo "== No Python 3.13 on this machine: testing on $$($(PY) --version) alone"; \
	fi


# Pins. Each file is compiled over itself, so a version moves only when it must.

# $(1): the directory that holds pyproject.toml and requirements/; $(2): more options.
define compile_pins
$(COMPILE) --output-file requirements/bootstrap.txt --group bootstrap; \
$(COMPILE) --output-file requirements/runtime.txt pyproject.toml; \
$(COMPILE) --output-file requirements/dev.txt pyproject.toml --group dev \
	--constraints requirements/bootstrap.txt --constraints requirements/runtime.txt; \
$(COMPILE) --output-file requirements/emulator.txt --group emulator
endef

.venv/.pins-checked: pyproject.toml $(wildcard requirements/*.txt) | .venv/.uv
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	cp -R pyproject.toml requirements "$$copy"; \
	$(call compile_pins,"$$copy"); \
	diff -ru requirements "$$copy/requirements" || { \
		echo "requirements/ is not what pyproject.toml asks for. Run: make pins"; exit 1; }
	@touch $@
