# Two commands are enough on a machine with Python 3.11+: `make sweep` and `make test`.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder --durations=25
WORKDIR ?= runs/laptop
# Compiling is most of the tests' time, and without optimization it takes a third of it. Studies and
# oracles compile as everybody does: there it is running that takes the time.
QUICK = XLA_FLAGS="$$($(PY) tests/quick_flags.py)"

.PHONY: install sweep smoke pretrain test test-slow test-oracles test-browser test-endurance test-all kills lint format clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[cli,export,iq]'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[cli,export,iq,dev]'
	@touch $@

$(VENV)/.oracles: $(VENV)/.dev  # 3 GB to download; half a GB where $(VENV) has a PyTorch for CPUs
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[cli,export,iq,dev,oracles]'
	@touch $@

$(VENV)/.browser: $(VENV)/.dev  # the browser itself comes from the system
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq chromium; } \
	  || { echo "Chromium is needed: as root, apt-get install chromium"; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[cli,export,iq,dev,browser]'
	@touch $@

sweep: install  ## the main job: teacher, sweep, table, picture (resumes when typed again)
	$(PY) -m experiments.sweep --flagfile=experiments/presets/laptop.flags --workdir=$(WORKDIR)

smoke: install  ## the smallest sweep that runs every part
	$(PY) -m experiments.sweep --flagfile=experiments/presets/smoke.flags --workdir=runs/smoke

pretrain: install  ## makes the pretrained nano model anew
	$(PY) -m experiments.pretrain --flagfile=experiments/presets/pretrain.flags --workdir=runs/nano

test: $(VENV)/.dev  ## everything in under ten minutes on two cores
	$(QUICK) $(PYTEST) -m "not slow and not endurance and not browser" --ignore=tests/oracles

test-slow: $(VENV)/.dev  ## the studies that take minutes
	$(QUICK) $(PYTEST) -m "slow and not endurance" --ignore=tests/oracles --ignore=tests/studies
	$(PYTEST) -m slow tests/studies

test-endurance: $(VENV)/.dev  ## several processes and devices, whole suites, long resumes
	$(QUICK) $(PYTEST) -m endurance --ignore=tests/oracles

kills: $(VENV)/.dev  ## a hundred SIGKILLs at random moments of small sweeps: an hour
	KILLS=100 $(QUICK) $(PY) -m pytest -s -m slow tests/experiments/test_kills.py

test-oracles: $(VENV)/.oracles  ## against other libraries; fails, rather than skips, without them
	@$(PY) -c 'from importlib.metadata import version as v; print(*(f"{p} {v(p)}" for p in ("sionna-no-rt", "torch", "qwix", "bitsandbytes", "gguf")))'
	$(PYTEST) tests/oracles

test-browser: $(VENV)/.browser  ## the report page in Chromium; screenshots are in runs/browser
	@mkdir -p runs
	$(PY) -m pytest --durations=25 --basetemp=runs/browser -m browser tests/browser

test-all: $(VENV)/.dev  ## each test once: those of test and test-slow together, as they share much
	$(QUICK) $(PYTEST) -m "not endurance and not browser" --ignore=tests/oracles --ignore=tests/studies
	$(PYTEST) -m slow tests/studies
	@$(MAKE) --no-print-directory test-browser test-oracles

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/pyright

format: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
