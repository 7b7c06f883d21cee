PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart test test-all bench image clean

# Two runs of a minute each, and one figure.
quickstart: .venv/ready
	$(BIN)/python -m sifting.run inputs/quickstart.in
	$(BIN)/python -m sifting.run inputs/quickstart_clone.in
	$(BIN)/python -m postprocess.figures.quickstart runs/quickstart runs/quickstart_clone --output runs/quickstart.png

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q -m "not slow"

test-all: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q

bench: .venv/ready
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/postprocess.py

# The Docker image without CUDA, built and tried without Docker; see docker/build_without_docker.sh for what it takes.
image:
	docker/build_without_docker.sh cpu

# The environment is made anew when what it must hold has changed.
.venv/ready: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
