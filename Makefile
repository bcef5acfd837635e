# Two commands are enough to begin with: `make demo` and `make test`. Everything happens inside .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PACKAGES := packages/secrets packages/engine
MANIFESTS := $(PACKAGES:%=%/pyproject.toml)
PINS   := --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --python-version 3.11 --quiet
JOBS   ?= 2

.PHONY: help demo demo-cluster test coverage test-alone test-installed soak wheels dist sbom audit lint format bench docs reference \
	pictures pins clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The requirement files are closed under dependency, so pip has nothing to resolve: left to it, an extra such as
# `coverage[toml]` is looked up apart from its pin and breaks on the day a newer release appears.
LOCKED := install --require-hashes --no-deps

# pip runs again only when a pin or a manifest has changed.
$(VENV)/.runtime: requirements/runtime.txt $(MANIFESTS) | $(BIN)/python
	$(PIP) $(LOCKED) -r requirements/runtime.txt
	$(PIP) install --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(PIP) $(LOCKED) -r requirements/dev.txt
	@touch $@

# pip-audit brings an HTTP client and a cache; it gets an environment of its own.
VENV_AUDIT := .venv-audit
$(VENV_AUDIT)/.done: requirements/audit.txt
	$(PYTHON) -m venv $(VENV_AUDIT)
	$(VENV_AUDIT)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED) -r requirements/audit.txt
	@touch $@

## make demo        store a token, run the penguins workflow, search every file for the token
demo: $(VENV)/.runtime
	@$(BIN)/python examples/penguins/demo.py

## make demo-cluster  the same workflow on a database, a scheduler and two workers that it starts
demo-cluster: $(VENV)/.dev
	@$(BIN)/python examples/penguins/demo_cluster.py

# What reads files that lie in the wheels: SQL, the page's parts, scripts, schemas, metadata, entry points. That no file is
# missing there, e2e/test_release_build.py knows.
FROM_FILES := packages/engine/tests/integration/test_execution_store.py packages/engine/tests/integration/test_execution_postgres.py \
	e2e/test_report.py e2e/test_plugins.py e2e/test_run_tasks.py

# The library's own tests run once: in test-alone, from its wheel, where they also hold its coverage.
## make test        all tests: of autokestra-secrets installed alone, of everything else, and some against the installed wheels
test: $(VENV)/.dev $(VENV_AUDIT)/.done
	@$(MAKE) --no-print-directory test-alone
	$(BIN)/python -m pytest -n $(JOBS) packages/engine e2e
	@$(MAKE) --no-print-directory test-installed INSTALLED="$(FROM_FILES)"

## make soak        the faults and the laws again, many times and with full sizes; takes a while
soak: $(VENV)/.dev
	AUTOKESTRA_SOAK=1 $(BIN)/python -m pytest -n $(JOBS) \
		e2e/test_run_faults.py packages/*/tests/property packages/secrets/tests/integration/test_crashes.py

# The engine is reached through its command, so its figure needs e2e and every child process: two to three times as long as
# the same tests take without counting. That of the library is part of `make test`, see test-alone.
## make coverage    which lines and branches of the engine its tests and e2e reach, child processes included; takes a while
coverage: $(VENV)/.dev $(VENV_AUDIT)/.done
	$(BIN)/python -m pytest -n $(JOBS) --cov --cov-report=term packages/engine e2e

## make wheels      build sdists and wheels of both packages into dist/, the same bytes from the same tree
wheels: $(VENV)/.runtime
	@rm -rf dist
	@$(BIN)/python -m release.build

## make sbom        what an installation consists of, as CycloneDX JSON in dist/
sbom: $(VENV)/.dev
	@$(BIN)/python -m release.sbom

## make dist        all that is released, with its SHA-256 sums
dist: $(VENV)/.dev
	@rm -rf dist
	@$(BIN)/python -m release.sbom
	@$(BIN)/python -m release.build

## make audit       known holes in the pins; error 75 where the data about them cannot be had
audit: $(VENV_AUDIT)/.done
	@$(VENV_AUDIT)/bin/python -m release.audit

# The library must live without the engine: a second environment with its wheel and nothing of ours besides. There its
# tests have to reach every line and branch; elsewhere than on Linux there is no server for those of PostgreSQL.
ALONE := .venv-alone
COUNTED := $(if $(filter Linux,$(shell uname -s)),--cov --cov-config=packages/secrets/pyproject.toml --cov-report=term)
test-alone: $(VENV)/.dev
	@test -x $(ALONE)/bin/python || $(PYTHON) -m venv $(ALONE)
	@$(ALONE)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED) -r requirements/secrets-alone.txt
	@rm -rf build/alone
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir build/alone packages/secrets
	@$(ALONE)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --force-reinstall build/alone/*.whl
	@! $(ALONE)/bin/python -c 'import autokestra' 2>/dev/null || { echo 'error: the engine is visible in $(ALONE)'; exit 1; }
	COVERAGE_FILE=$(CURDIR)/build/alone/coverage $(ALONE)/bin/python -m pytest -n $(JOBS) -p no:cacheprovider $(COUNTED) packages/secrets/tests

# What is released must work where no source is: the tests are copied to a place without one, and run in an environment
# that has both wheels. INSTALLED narrows them down; `make test` takes what lives on files inside the wheels.
INSTALLED ?= packages/engine/tests e2e
VENV_INSTALLED := .venv-installed

## make test-installed  the engine's tests and e2e against the installed wheels, without any source; takes as long as `make test`
test-installed: $(VENV)/.dev $(VENV_AUDIT)/.done
	@rm -rf build/installed $(VENV_INSTALLED)
	@$(BIN)/python -m release.build --to build/installed/wheels
	@$(BIN)/python -m venv --without-pip $(VENV_INSTALLED)
	@$(PIP) --python $(VENV_INSTALLED)/bin/python install --no-deps --no-index build/installed/wheels/*.whl
	@# All else comes from $(VENV): of a folder that is only on the path no .pth is read, and so none that leads to our sources.
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > build/installed/others.pth
	@cp build/installed/others.pth $(VENV_INSTALLED)/lib/python*/site-packages/
	@$(VENV_INSTALLED)/bin/python -c 'import autokestra, autokestra_secrets, sys; sys.exit(any("$(CURDIR)/$(VENV_INSTALLED)/" not in p.__file__ for p in (autokestra, autokestra_secrets)))'
	@$(BIN)/python -m release.away build/installed/tree
	cd build/installed/tree && $(CURDIR)/$(VENV_INSTALLED)/bin/python -m pytest -n $(JOBS) -p no:cacheprovider $(INSTALLED)

## make lint        ruff, mypy (strict), import-linter
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What is only compared with would pull a web server into our environment; it gets one of its own.
VENV_BENCH := .venv-bench
$(VENV_BENCH)/.done: requirements/bench.txt
	$(PYTHON) -m venv $(VENV_BENCH)
	$(VENV_BENCH)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED) -r requirements/bench.txt
	@touch $@

VENV_ENGINES := .venv-bench-engines
$(VENV_ENGINES)/.done: requirements/bench-engines.txt
	$(PYTHON) -m venv $(VENV_ENGINES)
	$(VENV_ENGINES)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED) -r requirements/bench-engines.txt
	@touch $@

# Without the environments of the others, what needs them says why it could not run; the rest is measured.
## make bench       measure, compare with bench/results.json, write it and its page (BENCHES="engine vault" for some)
bench: $(VENV)/.dev
	-@$(MAKE) --no-print-directory $(VENV_BENCH)/.done
	-@$(MAKE) --no-print-directory $(VENV_ENGINES)/.done
	$(BIN)/python -m bench $(BENCHES)

# The site in build/site, from pages, code and pins alone: no address but those of links stands in it. See book/.
VENV_DOCS := .venv-docs
$(VENV_DOCS)/.done: requirements/docs.txt
	$(PYTHON) -m venv $(VENV_DOCS)
	$(VENV_DOCS)/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED) -r requirements/docs.txt
	@touch $@

## make docs        the site in build/site; a warning, a broken link or a fetched asset is an error
docs: $(VENV)/.dev $(VENV_DOCS)/.done
	$(BIN)/python -m book.reference --check
	@# Not --quiet: it would hide warnings from --strict too.
	NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/python -m mkdocs build --strict --site-dir build/site
	$(VENV_DOCS)/bin/python -m book.inspection build/site

## make reference   write the pages of docs/reference that come out of the code
reference: $(VENV)/.runtime
	$(BIN)/python -m book.reference

## make pictures    draw the pictures of the README again (needs Chromium on the PATH)
pictures: $(VENV)/.dev
	$(BIN)/python -m e2e.pictures

## make pins        compile requirements/*.in again (needs uv on the PATH)
pins:
	uv pip compile $(PINS) requirements/dev.in -o requirements/dev.txt
	uv pip compile $(PINS) -c requirements/dev.txt requirements/runtime.in -o requirements/runtime.txt
	uv pip compile $(PINS) requirements/bench.in -o requirements/bench.txt
	uv pip compile $(PINS) requirements/bench-engines.in -o requirements/bench-engines.txt
	uv pip compile $(PINS) requirements/docs.in -o requirements/docs.txt
	uv pip compile $(PINS) -c requirements/dev.txt requirements/audit.in -o requirements/audit.txt
	uv pip compile $(PINS) -c requirements/dev.txt requirements/secrets-alone.in -o requirements/secrets-alone.txt

clean:
	rm -rf $(VENV) $(ALONE) $(VENV_BENCH) $(VENV_ENGINES) $(VENV_DOCS) $(VENV_AUDIT) $(VENV_INSTALLED) build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
