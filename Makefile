PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench clean

run: $(VENV)/run.stamp
	$(BIN)/python scripts/run.py

test: $(VENV)/dev.stamp
	[ ! -f scripts/ensure_chromium.sh ] || sh scripts/ensure_chromium.sh
	$(BIN)/python -m pytest

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard *.py) handlers keyboards ml_models processing sandbox

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.ack
	$(BIN)/python -m benchmarks.gatys

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/run.stamp
