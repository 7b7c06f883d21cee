PYTHON ?= python3
BIN := .venv/bin
# Two processes share the test files; each takes a core and some 2 GB.
PARALLEL := -q -n 2 --dist loadfile

.PHONY: quickstart test test-all faults notebook lint docs browser dist test-oldest bench image clean

# Two runs of a minute each, and one figure.
quickstart: .venv/ready
	$(BIN)/python -m sifting.run inputs/quickstart.in
	$(BIN)/python -m sifting.run inputs/quickstart_clone.in
	$(BIN)/python -m postprocess.figures.quickstart runs/quickstart runs/quickstart_clone --output runs/quickstart.png

test: lint
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

# Everything: also the slow tests, the examples, the documentation, pages in a browser, the built package, the oldest
# versions that setup.cfg allows, and the image. `make -k test-all` goes on where Chromium, or buildah and root, is missing.
test-all: lint
	$(BIN)/python -m pytest $(PARALLEL) --ignore tests/test_browser.py
	$(MAKE) notebook docs browser dist test-oldest image

# Do the tests notice faults? `python tools/faults.py ID ...` plants some of them.
faults: .venv/ready
	$(BIN)/python tools/faults.py

# The examples, executed anew; `python tools/notebook.py examples/*.ipynb` also stores what they give.
notebook: .venv/ready
	$(BIN)/python -m pytest -q --nbmake examples

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_types.py

# The documentation as a site in site/; a warning ends it.
docs: .venv/docs-ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/docs-ready: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	touch $@

# The report, the documentation and TensorBoard, in the Chromium or Chrome of this machine.
browser: .venv/docs-ready
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } > /dev/null || \
		{ echo "make browser takes Chromium or Chrome" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[browser]"
	$(BIN)/python -m pytest -q tests/test_browser.py

# sdist and wheel into dist/, each tried in a fresh environment far from the sources.
dist: .venv/ready
	$(BIN)/python tools/dist.py

# The quick tests with the versions in tests/oldest.txt, whose authors could not know what Python would deprecate.
test-oldest: .venv-oldest/ready
	.venv-oldest/bin/python -m pytest $(PARALLEL) -m "not slow and not heavy" -W default::DeprecationWarning -W default::FutureWarning

.venv-oldest/ready: tests/oldest.txt setup.cfg
	rm -rf .venv-oldest
	$(PYTHON) -m venv --upgrade-deps .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint tests/oldest.txt --editable ".[test]"
	touch $@

bench: .venv/ready
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/experiment.py
	$(BIN)/python benchmarks/analyses.py

# The Docker image without CUDA, built and tried without Docker; see docker/build_without_docker.sh for what it takes.
image:
	@{ command -v buildah && command -v debootstrap; } > /dev/null || \
		{ echo "make image takes buildah and debootstrap" >&2; exit 1; }
	docker/build_without_docker.sh cpu

# The environment is made anew when what it must hold has changed. The pip that Python 3.10 brings, 23.0, would search for
# versions without an end.
.venv/ready: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv --upgrade-deps .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable ".[test]"
	-$(BIN)/python -m compileall -qq -j 0 .venv/lib  # as pip does, but one file after the other
	touch $@

clean:
	rm -rf .venv .venv-oldest build dist site *.egg-info
