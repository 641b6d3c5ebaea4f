# Everything a contributor runs. `make` alone lists the targets.
# Needs Python 3.11 or newer (PYTHON=python3.12 chooses one) and a package index; nothing else.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help constraints deb demo test test-long test-promises test-faults test-model bench bench-costs audit sbom check pages format clean

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r target text; do printf '%-18s %s\n' "$$target" "$$text"; done

demo: .venv/installed-demo ## five deliveries go out before your eyes; KEEP=1 stays up for your own
	@$(BIN)/chimewayd demo $(if $(filter-out 0,$(KEEP)),--keep)

test: .venv/installed-check ## every test against a real Postgres; ARGS="-k name" chooses some
	$(BIN)/python -m pytest -q -m "not long" $(or $(ARGS),-n auto --dist worksteal)

test-long: .venv/installed-check ## the tests that take minutes
	$(BIN)/python -m pytest -q -m long $(ARGS)

test-promises: .venv/installed-check ## hold each adapter to its promises, and print the table
	$(BIN)/python -m pytest -q -p chimewayd.testing.table tests/adapters/promises $(ARGS)

test-faults: .venv/installed-check ## break everything while deliveries flow, then count; LONG=1 takes hours
	PYTHONPATH=tests $(BIN)/python -m faults $(if $(filter-out 0,$(LONG)),--long) $(ARGS)

test-model: .venv/installed-check ## check the protocol's model; needs spin and a C compiler
	$(BIN)/python tests/model/run.py $(ARGS)

bench: .venv/installed-bench ## the speed, beside other queues; QUICK=1 takes minutes, ARGS="--rows drain" chooses
	PYTHONPATH=tests $(BIN)/python -m bench $(if $(filter-out 0,$(QUICK)),--quick) $(ARGS)

bench-costs: .venv/installed-check ## what logs, metrics and traces cost a delivery, in microseconds
	PYTHONPATH=tests $(BIN)/python -m bench.costs

check: .venv/installed-check ## format, lint, types, import layers, guards
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/guards

audit: .venv/installed-audit ## known vulnerabilities of our dependencies; fails if it could audit nothing
	$(BIN)/python tests/supply_chain.py licences
	$(BIN)/python tests/supply_chain.py audit

sbom: .venv/installed-audit ## write sbom.json, the bill of materials (CycloneDX)
	$(BIN)/python tests/supply_chain.py sbom

pages: .venv/installed-check ## write the generated pages anew: the manual, the commands' output, the example settings, the bad inputs
	$(BIN)/python tests/man_page.py
	$(BIN)/python tests/command_page.py
	$(BIN)/python tests/bad_inputs_page.py
	$(BIN)/python -c 'from chimewayd.config_reference import example; print(example(), end="")' > deploy/config.example.toml

constraints: .venv/installed-package ## pin every dependency, with hashes, in deploy/constraints*.txt
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--output-file deploy/constraints.txt pyproject.toml
	$(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra apprise --extra css --extra ed25519 --extra fcm --extra otel --extra webpush \
		--constraint deploy/constraints.txt \
		--output-file deploy/constraints-extras.txt pyproject.toml

deb: ## build a Debian package into dist/
	deploy/deb/build

format: .venv/installed-check ## format and sort, and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove .venv and what the tools left
	rm -rf .venv .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build sbom.json
	find chimewayd tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp file, so that a changed pyproject.toml installs again.
.venv/installed-%: pyproject.toml | .venv/bin/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "chimewayd needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Choose one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
