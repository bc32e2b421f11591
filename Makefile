# Two commands are enough on a machine with Python 3.11+: `make sweep` and `make test`.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
WORKDIR ?= runs/laptop

.PHONY: install sweep pretrain smoke test test-all lint format clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[cli]'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[cli,dev]'
	@touch $@

sweep: install  ## the main job: teacher, sweep, table, picture (resumes when typed again)
	$(PY) -m experiments.sweep --flagfile=experiments/presets/laptop.flags --workdir=$(WORKDIR)

smoke: install  ## the smallest sweep that runs every part
	$(PY) -m experiments.sweep --flagfile=experiments/presets/smoke.flags --workdir=runs/smoke

test: $(VENV)/.dev  ## everything in under ten minutes on two cores
	$(PY) -m pytest -m "not slow" --numprocesses=auto --dist=loadfile --durations=10

test-all: $(VENV)/.dev  ## the studies that take minutes, too
	$(PY) -m pytest --numprocesses=auto --dist=loadfile --durations=10

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

format: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
