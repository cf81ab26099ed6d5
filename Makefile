# make demo: set up and colour examples/film.mp4. make test: set up and run the checks.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# the package as it is installed, with train and weights inside: what types and imports are checked in
TYPED := .mypy_cache/typed
PLATFORMS := linux darwin win32

.PHONY: demo test quick lint film clean

demo: $(READY)
	$(BIN)/filmcolor run examples/film.mp4 --force
	$(BIN)/filmcolor preview examples/film.mp4 --sheet 10 --force --quiet
	@echo "the film in colour:   examples/film.color.mp4"
	@echo "before and after:     examples/film.sheet.png"

# a process for each core, each with the tests of one file at a time
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# the tests that take well under a second each
quick: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf $(TYPED) && mkdir -p $(TYPED)/filmcolor
	ln -s ../../../train ../../../weights $(addprefix ../../../,$(wildcard filmcolor/*)) $(TYPED)/filmcolor
	bin=$$(cd $(BIN) && pwd) && cd $(TYPED) && for platform in $(PLATFORMS); do \
		"$$bin/mypy" --config-file ../../setup.cfg --cache-dir ../$$platform \
			--platform $$platform || exit 1; \
	done
	bin=$$(cd $(BIN) && pwd) && cd $(TYPED) && PYTHONPATH=. "$$bin/lint-imports" ../../setup.cfg
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml

film: $(READY)
	$(BIN)/python examples/make_film.py

# an editable install: the code in the checkout is the code that runs
$(READY): setup.cfg setup.py pyproject.toml $(wildcard filmcolor/kernels/*.[ch])
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip "setuptools>=68" wheel
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[dev]"
	touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f filmcolor/kernels/_compiled*.so examples/film.color.mp4 examples/film.sheet.png
