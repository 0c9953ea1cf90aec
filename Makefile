# Two commands on a fresh machine with Python 3.11, a C++ compiler and make:
#   make demo   install everything into .venv and run the packaged study
#   make test   install everything into .venv and run the tests
# Both can be repeated at will: what is already installed is kept, and the package is installed
# again only when one of its sources changed.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?= -n auto --dist worksteal
DEMO_ARGS ?=
MEMCORE_CUDA ?= AUTO

BIN := $(VENV)/bin
DONE := $(VENV)/.done
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
NATIVE_FILES := $(shell find native -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
# Folders are listed too: their time changes when a file is added or removed.
SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
  $(shell find memcore plugins native -name __pycache__ -prune -o -name '*.so' -o -print)

# Threads that spin while they wait make a busy machine slower by orders of magnitude.
export OMP_WAIT_POLICY ?= passive
# The current folder is not on the path of any Python: what is tested is the installed package, not
# the sources beside it, which have no compiled module.
export PYTHONSAFEPATH := 1
export SPHINXOPTS ?= -W --keep-going

.DELETE_ON_ERROR:
.PHONY: help demo test coverage lint format docs bench wheel clean distclean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON=$(PYTHON) VENV=$(VENV) MEMCORE_CUDA=$(MEMCORE_CUDA) PYTEST_ARGS DEMO_ARGS"

demo: $(DONE)/package ## install into .venv and run the packaged study
	$(BIN)/memcore demo $(DEMO_ARGS)

test: $(DONE)/package $(DONE)/test ## install into .venv and run the tests
	$(BIN)/pytest $(PYTEST_ARGS)

coverage: $(DONE)/package $(DONE)/test ## run the tests and report which lines and branches they reach
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(DONE)/package $(DONE)/test $(DONE)/docs $(DONE)/lint ## ruff, mypy --strict and clang-format, changing nothing
	@failed=; \
	for check in "ruff check ." "ruff format --check ." "mypy --strict" "mypy --strict docs/_ext" \
	  "clang-format --dry-run -Werror $(NATIVE_FILES)"; do \
	  echo "== $${check%% native/*}"; $(BIN)/$$check || failed=1; done; \
	[ -z "$$failed" ]

format: $(DONE)/lint ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(NATIVE_FILES)

docs: $(DONE)/package $(DONE)/docs ## build the documentation in docs/_build/html
	$(BIN)/python -m sphinx $(SPHINXOPTS) -b html docs docs/_build/html

bench: $(DONE)/package $(DONE)/test ## run the benchmarks, tests/bench_*.py
	@for script in $(filter-out %/bench_timing.py,$(wildcard tests/bench_*.py)); do \
	  echo "== $$script"; PYTHONSAFEPATH= $(BIN)/python $$script || exit 1; done

# The wheel is built from the source distribution, as everybody else will. torch brings libgomp.so.1 and is
# loaded first: a second OpenMP runtime in the wheel would have threads of its own.
wheel: $(DONE)/torch $(DONE)/test $(DONE)/release ## build the source distribution and a wheel of it into dist/, and check both
	rm -rf dist
	PIP_CONSTRAINT=$(abspath constraints.txt) $(BIN)/python -m build --outdir dist/raw -Ccmake.define.MEMCORE_CUDA=OFF
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --exclude libgomp.so.1 --wheel-dir dist dist/raw/*.whl
	mv dist/raw/*.tar.gz dist && rm -r dist/raw
	MEMCORE_DIST=dist $(BIN)/pytest -q --noconftest tests/test_wheel.py

clean: ## remove what builds and runs left behind, but not .venv
	rm -rf build dist docs/_build docs/gallery docs/reference/_generated .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f .coverage .coverage.*
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## the same and .venv
	rm -rf $(VENV)

$(DONE)/venv: constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("memcore needs Python 3.11 or newer; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.11" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) "pip>=25.1"
	@mkdir -p $(DONE) && touch $@

# First and by itself: the exact version decides which build of torch is taken.
$(DONE)/torch: $(DONE)/venv
	$(INSTALL) $$(grep -E '^torch==' constraints.txt)
	@touch $@

$(DONE)/package: $(DONE)/torch $(SOURCES)
	$(INSTALL) --build-constraint constraints.txt -Ccmake.define.MEMCORE_CUDA=$(MEMCORE_CUDA) ".[study]"
	@touch $@

$(DONE)/test $(DONE)/docs $(DONE)/lint $(DONE)/release: $(DONE)/%: $(DONE)/torch pyproject.toml
	$(INSTALL) --group $*
	@touch $@
