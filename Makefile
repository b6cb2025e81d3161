# Everything that is done with this project. `make` alone lists it.
# A fresh machine needs Python 3.11 or later, make and a package registry.

PYTHON ?= python3

PY := .venv/bin/python
SETUP := .venv/.ready .venv-emulator/.ready
SOURCES := $(wildcard functions local tests benchmarks)
TEMPLATES := template.yaml infra/account.yaml infra/monitoring.yaml
SAM = SAM_CLI_TELEMETRY=0 .venv-deploy/bin/sam

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
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(SETUP) ## Show it at work on this machine, without an AWS account
	@PYTHONPATH=functions $(PY) -m local.demo

.PHONY: simulate
simulate: .venv/.ready ## Simulate a year of fleets and outages, and write docs/simulation.md (minutes)
	@PYTHONPATH=functions:. $(PY) -m tests.resilience.simulation

.PHONY: resilience
resilience: $(SETUP) ## Strike every call of every flow, kill real processes, and print what held (minutes)
	@PYTHONPATH=functions:. $(PY) -m tests.resilience

EXAMPLES ?= 3000
.PHONY: model
model: .venv/.ready ## Drive the program at random against a model of its promises (EXAMPLES=3000)
	@MODEL_EXAMPLES=$(EXAMPLES) $(PY) -m pytest tests/resilience/test_model.py -k TestModel

.PHONY: mutants
mutants: .venv/.ready ## Take out one safeguard after the other, and see a test notice
	@PYTHONPATH=functions:. $(PY) -m tests.resilience.mutants

SECONDS ?= 60
.PHONY: fuzz
fuzz: .venv/.ready ## Feed every parser spoiled inputs (SECONDS=60 SEED=1)
	@PYTHONPATH=functions:. $(PY) -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

.PHONY: audit
audit: .venv-audit/.ready ## Look up known vulnerabilities of what is deployed
	@.venv-audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/runtime.txt

.PHONY: record
record: $(SETUP) ## Draw the picture of the demo anew
	@PYTHONPATH=functions $(PY) -m local.record

.PHONY: test
test: lint test-main test-3.13 e2e ## Lint, run every test on each Python found, and deploy to a local AWS

.PHONY: unit
unit: .venv/.ready ## Run the unit tests alone
	@$(PY) -m pytest tests/unit

.PHONY: integration
integration: $(SETUP) ## Run the tests against the embedded cloud alone
	@$(PY) -m pytest tests/integration

.PHONY: cli
cli: $(SETUP) ## Run the command line's tests alone
	@$(PY) -m pytest tests/cli tests/docs/test_command_line.py

.PHONY: e2e
e2e: $(SETUP) .venv-deploy/.ready ## Build and deploy for real, and look at what came of it
	@echo "== The artifact and the stack"; $(PY) -m pytest tests/deployment

.PHONY: lint
lint: .venv/.ready pins-check lint-templates ## Check style, types, the architecture, the pins and the templates
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy $(SOURCES)
	@PYTHONPATH=functions .venv/bin/lint-imports --no-logo

.PHONY: lint-templates
lint-templates: .venv-deploy/.ready .venv-checkov/.ready
	@said=$$($(SAM) validate --lint 2>&1) || { echo "$$said"; exit 1; }
	@.venv-deploy/bin/cfn-lint --config-file infra/cfnlint.yaml --template $(TEMPLATES)
	@said=$$(.venv-checkov/bin/checkov --config-file infra/checkov.yaml \
		$(addprefix --file ,$(TEMPLATES)) 2>&1) || { echo "$$said"; exit 1; }
	@echo "The templates are valid: $(TEMPLATES)"

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
	@rm -rf .venv .venv-3.13 .venv-emulator .venv-deploy .venv-checkov .venv-audit .aws-sam .node build dist
	@rm -rf .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +


# Tests. Branch coverage must be complete on each Python, or pytest fails.

.PHONY: test-main
test-main: $(SETUP) .node/.ready
	@$(call run_tests,.venv)

.PHONY: test-3.13
test-3.13: $(SETUP) .venv-3.13/.ready
	@if [ -e .venv-3.13/.ready ]; then $(call run_tests,.venv-3.13); fi

define run_tests
echo "== Tests on $$($(1)/bin/python --version)"; \
COVERAGE_FILE=$(1)/.coverage $(1)/bin/python -m pytest --cov --ignore tests/deployment
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

# Tools that pin what they stand on, each in an environment of its own.
.venv-emulator/.ready .venv-deploy/.ready .venv-checkov/.ready .venv-audit/.ready: .venv-%/.ready: requirements/%.txt | .venv/.uv
	@echo "== Making .venv-$*"
	@$(UV) venv --quiet --no-project --clear --python $(PY) .venv-$*
	@$(INSTALL) --python .venv-$* $<
	@touch $@

# The packages of an example for consumers, where this machine has npm. Its lock file holds hashes,
# and names no registry.
.node/.ready: docs/consumers/node/package-lock.json
	@if command -v npm > /dev/null; then \
		echo "== Making .node"; \
		mkdir -p .node; cp docs/consumers/node/package.json docs/consumers/node/package-lock.json .node; \
		npm ci --prefix .node --silent --no-fund --no-audit --ignore-scripts; \
		touch $@; \
	else \
		echo "== No npm on this machine: one of the consumers' examples is not run"; \
	fi

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


# The artifact. `sam build` alone makes it as well, by way of functions/Makefile.

# Build and deployment must name the same processor, so both are always told.
PARAMETERS ?=
ARCHITECTURE ?=
PROCESSOR = $(or $(ARCHITECTURE),$(patsubst Architecture=%,%,$(filter Architecture=%,$(PARAMETERS))),arm64)
# The template's Python, but for a local AWS on a machine that lacks it.
TARGET_PYTHON ?=

.PHONY: build
build: .venv-deploy/.ready ## Build what is deployed (ARCHITECTURE=arm64 or x86_64)
	@said=$$($(SAM) build --parameter-overrides Architecture=$(PROCESSOR) 2>&1) \
		|| { echo "$$said"; exit 1; }; \
	echo "$$said" | grep '^== '

# Into the directory that SAM names.
.PHONY: artifact
artifact: .venv/.uv
	@$(FIND_PYTHONS) $(WITH_UV) $(PY) functions/artifact.py "$$ARTIFACTS_DIR" \
		$(if $(ARCHITECTURE),--architecture $(ARCHITECTURE)) \
		$(if $(TARGET_PYTHON),--python $(TARGET_PYTHON))

.PHONY: bench
bench: .venv/.ready .venv-3.13/.ready ## Measure all against its floor, and write docs/performance.md (minutes; ONLY=mass_expiry)
	@python=.venv-3.13/bin/python; [ -e .venv-3.13/.ready ] || python=$(PY); \
	$(FIND_PYTHONS) PYTHONPATH=functions:. $(WITH_UV) "$$python" -m benchmarks $(ONLY)

# What runs uv by itself needs the registry, and the Pythons that a version manager hides.
WITH_UV = $(subst $(PY) -m uv,,$(UV))
FIND_PYTHONS = for bin in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin; do PATH="$$PATH:$$bin"; done;


# Deployment, to the AWS account that the environment names, as for any AWS tool.
# Each template takes those of the parameters that it has.

STACK ?= token-refresher

.PHONY: deploy
deploy: build deploy-stacks ## Deploy the function and its monitoring (PARAMETERS="ScheduleMinutes=5 ...")

.PHONY: deploy-stacks
deploy-stacks: .venv-deploy/.ready
	@$(call deploy_stack,$(STACK),)
	@$(call deploy_stack,$(STACK)-monitoring,--config-env monitoring)

.PHONY: account
account: .venv-deploy/.ready ## Make an account's empty secret and its consumers' policy (ACCOUNT=dealer-17)
	@test -n "$(ACCOUNT)" || { echo "Name the account: make account ACCOUNT=dealer-17"; exit 1; }
	@$(call deploy_stack,$(STACK)-account-$$(printf %s "$(ACCOUNT)" | tr -c A-Za-z0-9 -),--config-env account)

.PHONY: undeploy
undeploy: .venv-deploy/.ready ## Delete the function and its monitoring, and no secret
	@for stack in $(STACK)-monitoring $(STACK); do \
		echo "== Deleting $$stack"; \
		$(SAM) delete --no-prompts --stack-name $$stack; \
	done
	@echo "== Left alone: every secret, the accounts' stacks, and the bucket of aws-sam-cli-managed-default"

.PHONY: deploy-local
deploy-local: $(SETUP) .venv-deploy/.ready ## Deploy to a local AWS that enforces IAM, and watch a real schedule
	@PYTHONPATH=functions $(PY) -m local.deploy_local

.PHONY: cloud
cloud: $(SETUP) .venv-deploy/.ready ## Run that local AWS until it is interrupted, to deploy to by hand
	@PYTHONPATH=functions $(PY) -m local.cloud

# SAM would pass over a parameter that no template has, and keep the old value.
# $(1): the stack; $(2): more options.
define deploy_stack
for each in $(PARAMETERS); do \
	grep -qx "  $${each%%=*}:" $(TEMPLATES) || { echo "No template has the parameter $${each%%=*}."; exit 1; }; \
done; \
echo "== Deploying $(1)"; \
$(SAM) deploy --stack-name $(1) --no-progressbar $(2) --parameter-overrides \
	FunctionStackName=$(STACK) $(if $(ACCOUNT),AccountName=$(ACCOUNT)) $(PARAMETERS) Architecture=$(PROCESSOR)
endef


# Pins. Each file is compiled over itself, so a version moves only when it must.

# $(1): the directory that holds pyproject.toml and requirements/; $(2): more options.
define compile_pins
$(COMPILE) --output-file requirements/bootstrap.txt --group bootstrap; \
$(COMPILE) --output-file requirements/runtime.txt pyproject.toml; \
$(COMPILE) --output-file requirements/dev.txt pyproject.toml --group dev \
	--constraints requirements/bootstrap.txt --constraints requirements/runtime.txt; \
for group in emulator deploy checkov audit; do \
	$(COMPILE) --output-file requirements/$$group.txt --group $$group; \
done
endef

.venv/.pins-checked: pyproject.toml $(wildcard requirements/*.txt) | .venv/.uv
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT; \
	cp -R pyproject.toml requirements "$$copy"; \
	$(call compile_pins,"$$copy"); \
	diff -ru requirements "$$copy/requirements" || { \
		echo "requirements/ is not what pyproject.toml asks for. Run: make pins"; exit 1; }
	@touch $@
