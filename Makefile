# `make run` starts the bot, or the sandbox where no BOT_TOKEN is set; `make test` runs all tests. Both set themselves up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench fuzz chaos weights clean

run: $(VENV)/run.stamp
	$(BIN)/python main.py

test: $(VENV)/dev.stamp
	sh scripts/ensure_chromium.sh
	sh scripts/ensure_postgresql.sh
	$(BIN)/python -m pytest

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard *.py) benchmarks handlers keyboards locales ml_models processing reporting sandbox

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.ack
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.gatys
	$(BIN)/python -m benchmarks.memory --quick
	$(BIN)/python -m benchmarks.seams
	$(BIN)/python -m benchmarks.robust
	$(BIN)/python -m benchmarks.controls
	$(BIN)/python -m benchmarks.same_bytes
	$(BIN)/python -m benchmarks.adain
	$(BIN)/python -m benchmarks.ultrast --ultra
	$(BIN)/python -m benchmarks.cyclegan
	$(BIN)/python -m benchmarks.capacity

fuzz: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.fuzz

chaos: $(VENV)/dev.stamp
	sh scripts/ensure_postgresql.sh
	$(BIN)/python -m tests.chaos --faults 200
	$(BIN)/python -m tests.chaos --faults 200 --engine postgres

weights: $(VENV)/run.stamp
	$(BIN)/python main.py weights vgg19

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python main.py weights vgg19 || echo "Without VGG19 the packaged encoder paints; 'make weights' tries again."
	touch $@

$(VENV)/dev.stamp: requirements.txt requirements-dev.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
