# make demo: the main job on bundled real data.  make test: the tests.  Both set everything up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test lint bench tables clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): some minutes the first time, most of it torch"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,data]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/spikeloom demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python tests/bench/golden_against_spikingjelly.py

# hours: all methods on all sources of the zoo, and spikingjelly's converter beside them
tables: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench,data]'
	$(BIN)/python tests/bench/conversion_tables.py reports/conversion --jobs 2

clean:
	rm -rf build dist $(VENV)
