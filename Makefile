# make help lists what there is. Everything runs in .venv, which the first target makes.

PYTHON ?= python3
JOBS ?= 6
N ?= 4
P ?= 0
BIN := .venv/bin
READY := .venv/ready
# Frames and peers, 400 MB that only tests and benchmarks need.
COMPLETE := .venv/complete
# roc-validator, whose versions of libraries are not ours.
VALIDATOR := .venv/validator/ready
# Sphinx and its theme.
DOCS := .venv/docs
# It would compile on one processor.
PIP := $(BIN)/python -m pip install -q -q --disable-pip-version-check --no-compile

# The versions that constraints.txt pins need Python 3.11; 3.10 gets the newest that run on it.
PINNED = $(shell $(PYTHON) -c 'import sys; print("-c constraints.txt" * (sys.version_info >= (3, 11)))')

.DEFAULT_GOAL := help
.PHONY: help run hosts test pytest lint types compiled unit docs bench soak faults races constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
	  while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

$(READY): pyproject.toml constraints.txt tools/system-packages
	@PYTHON='$(PYTHON)' tools/system-packages
	@echo "preparing .venv"
	@$(PYTHON) -m venv .venv
	@$(PIP) $(PINNED) --upgrade pip || true # the one of an old Python takes twice as long
	@{ $(PIP) $(PINNED) --no-deps ns3 || \
	  echo "ns-3 cannot be installed for this Python: its tests are skipped"; } & \
	  $(PIP) $(PINNED) -e '.[dev,embedded,topology,plot,examples]'; code=$$?; wait; exit $$code
	@$(BIN)/python -m compileall -q -j 0 -x '/(tests|pip|setuptools)/' .venv/lib \
	  >/dev/null 2>&1 || true # some are templates
	@touch $@

$(COMPLETE): $(READY) $(VALIDATOR)
	@$(PIP) $(PINNED) -e '.[bench,browser,crate,docs,pandas,polars,parquet,statistics]'
	@touch $@ $(DOCS)

$(VALIDATOR): $(READY) tools/validator.txt
	@$(PYTHON) -m venv --without-pip .venv/validator
	@$(subst pip install,pip --python .venv/validator install,$(PIP)) --no-deps \
	  -r tools/validator.txt || \
	  echo "roc-validator cannot be installed for this Python: its test is skipped"
	@touch $@

$(DOCS): $(READY)
	@$(PIP) $(PINNED) -e '.[docs]'
	@touch $@

run: $(READY) ## run the demo experiment on this machine
	@$(BIN)/nepiq run examples/demo.py
	@echo "in a browser: $(BIN)/nepiq web last"

hosts: $(READY) ## N hosts on this machine, and P behind a gateway, until ctrl-C (root)
	@$(BIN)/python -m tests.testbed --hosts $(N) --private $(P)

test: $(READY) ## every check and test (about 14 minutes on two cores)
	@PYTHON='$(PYTHON)' tools/system-packages tests
	@$(MAKE) --no-print-directory --output-sync -j lint types $(COMPLETE)
	@$(MAKE) --no-print-directory --output-sync compiled
	@$(MAKE) --no-print-directory -j docs pytest

pytest: $(COMPLETE)
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist loadgroup --no-loadscope-reorder tests
	@$(BIN)/python -m tests.e2e.network.features

unit: $(COMPLETE) ## only the tests that need no services (seconds)
	@$(BIN)/python -m pytest -q -n 2 tests/unit -m 'not slow and not soak'

lint: $(READY) ## style, formatting, the direction of imports and the word list
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@PYTHONPATH=.typing $(BIN)/lint-imports --no-logo
	@$(BIN)/python tools/words.py

types: $(READY) ## type hints, strictly
	@$(BIN)/mypy --no-error-summary -p nepiq

docs: $(DOCS) ## the documentation as a site in build/site; warnings are errors
	@nice $(BIN)/sphinx-build -q -W --keep-going -c docs -d build/doctrees . build/site
	@echo "the documentation is in build/site/index.html"

# The byte code of the tests, once; each of the processes that run tests would compile them all.
compiled: $(COMPLETE)
	@$(BIN)/python -m pytest -q --collect-only tests/unit >/dev/null 2>&1 & \
	  $(BIN)/python -m pytest -q --collect-only --ignore=tests/unit tests >/dev/null 2>&1; wait

bench: $(COMPLETE) ## measure nepiq and its peers; results in build/bench
	@$(BIN)/python -m tests.benchmarks

faults: $(COMPLETE) ## storms of faults over worker machines and hosts, as root; then how soon all goes on
	@$(BIN)/python -m tests.faults.storm
	@$(BIN)/python -m tests.faults.recovery

races: $(COMPLETE) ## the tests, while random processes of them pause for moments: finds races
	@$(BIN)/python -m tests.faults.pauses $(MAKE) --no-print-directory pytest

soak: $(COMPLETE) ## long runs: engine simulator, tests marked soak, experiments up to 100 000
	@$(BIN)/python -m tests.reference.simulator --seeds 10000
	@$(BIN)/python -m pytest -q -m soak --timeout 3600 tests || [ $$? = 5 ] # 5: none is marked
	@$(BIN)/python -m tests.benchmarks --large
	@$(BIN)/python -m tests.benchmarks.scale

constraints: $(COMPLETE) ## write the installed versions to constraints.txt
	@$(BIN)/python -m pip freeze --all --exclude-editable \
	  --disable-pip-version-check > constraints.txt
	@touch $(READY) $(COMPLETE)

clean: ## remove everything that make made
	@rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf *.egg-info
