PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup demo test docs bench clean

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/proxytools demo

test: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n auto --dist loadfile

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: setup
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.labels
	$(BIN)/python -m benchmarks.curves
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.jade
	$(BIN)/python -m benchmarks.detector
	$(BIN)/python -m benchmarks.many
	$(BIN)/python -m benchmarks.tuning
	$(BIN)/python -m benchmarks.choices
	$(BIN)/python -m benchmarks.reproduction
	$(BIN)/python -m benchmarks.ablation
	$(BIN)/python -m benchmarks.pretraining
	$(BIN)/python -m benchmarks.audit
	$(BIN)/python -m benchmarks.suggest
	$(BIN)/python -m benchmarks.story
	$(BIN)/python -m benchmarks.readme

clean:
	rm -rf $(VENV) build dist site .mypy_cache .pytest_cache .ruff_cache
	find . -name '*.nb[ic]' -delete
