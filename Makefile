# make quickstart   from a fresh clone to the first figure
# make test         ruff, mypy and the tests
# make test-slow    the proofs that compile or kill for minutes, which `make test` leaves out; results/slow_tests has a log
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Tests start hundreds of processes: without compiled modules each would compile them all anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test test-slow install clean

quickstart: install
	$(BIN)/python -m experiments.run stream_barrier --preset quick

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/mypy & types=$$!; $(BIN)/pytest -n 3 --dist worksteal; tests=$$?; wait $$types && exit $$tests

test-slow: install
	$(BIN)/pytest -n 3 --dist worksteal -m slow --durations=20

install: $(VENV)/.installed

# Installed from the lock file, so that everybody has the versions the results were made with.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with make PYTHON=python3.11."; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
