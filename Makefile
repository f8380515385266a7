# make demo, make test: all the set-up on a fresh machine (Debian, Python 3.11 or newer, root or not) is theirs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SECONDS ?= 1800
JOBS    ?= 3

.PHONY: demo test lint bench soak sweep fuzz clean

demo: $(VENV)/.installed
	$(BIN)/fluentlite demo $(FILES)

# Most tests wait most of the time: several files at once, each by one process from its first test to its last.
test: $(VENV)/.tested-with lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(VENV)/.tested-with
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A table, and bench/results/latest.json.
bench: $(VENV)/.tested-with
	$(BIN)/python -m bench $(ARGS)

# Random faults against the daemon, 20 logs at 5,000 lines/s each, for SECONDS (default: half an hour), as root; figures
# every minute, also in build/soak.txt. ARGS='--no-network --no-disk' for other users; ARGS='--logs 1' for a worker alone.
soak: $(VENV)/.tested-with
	tests/prepare soak
	mkdir -p build
	$(BIN)/python -m tests.soak --seconds $(SECONDS) --figures build/soak.txt $(ARGS)

# Inputs that a reader cannot take: SECONDS for each reader, or with ARGS='--target ack' for one. Led by coverage where
# atheris is installed ($(BIN)/pip install atheris), at random otherwise.
fuzz: SECONDS := 60
fuzz: $(VENV)/.tested-with
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

# Worker and master killed at each of their system calls, and with each of them failing: 4,000 points, a quarter of an hour
# on two cores; with ARGS='--sample 200' some of them.
sweep: $(VENV)/.tested-with
	$(BIN)/python -m tests.sweep $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info tests/wire/fluentserver/node_modules

$(VENV)/.installed: setup.cfg pyproject.toml tests/prepare
	tests/prepare venv "$(PYTHON)" $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.tested-with: $(VENV)/.installed tests/wire/fluentserver/package-lock.json
	tests/prepare packages
	$(BIN)/pip install --quiet --editable '.[test]'
	npm ci --silent --no-audit --no-fund --prefix tests/wire/fluentserver
	touch $@
