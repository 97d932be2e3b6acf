# Both of `make demo` and `make test` do all of their own set-up in .venv (Debian: python3.11, python3.11-venv, make).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WHEEL := $(VENV)/wheel
WORKERS ?= 2
export OMP_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: demo demo-dft study-dft miniature test test-fast test-slow test-long test-queue lint style typecheck clean

demo: $(STAMP)
	$(BIN)/python examples/demo/demo.py --workers $(WORKERS)

# Real PBE+U of ten charge orderings; first `apt-get install --no-install-recommends gpaw gpaw-data` (docs/gpaw.md).
demo-dft: $(STAMP)
	$(BIN)/python examples/demo-dft/demo_dft.py

# What keeps or loses the order: starts, relaxations, cutoff, k-points, U; some hours on one core (docs/gpaw/study.md).
study-dft: $(STAMP)
	$(BIN)/python examples/demo-dft/study.py

# The paper on pretrained CHGNet: calculations, trainings, searches, figures, report (examples/paper-miniature).
miniature: $(STAMP)
	$(BIN)/python examples/paper-miniature/miniature.py

# Types are checked beside the tests: one process on one core for a sixth of the time, while tests also wait.
test: style
	$(MAKE) -j 2 typecheck test-fast

test-fast: $(STAMP)
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow"

# What takes longer than the ten seconds of `slow`: trainings, campaigns that are killed; and the tests of the queue, which
# wait most of their time and so have a process of their own beside the others. Killed campaigns wait, too: one process
# more than there are cores.
test-slow:
	$(MAKE) -j 2 test-queue test-long

test-long: $(STAMP)
	$(BIN)/pytest -n $$(($(WORKERS) + 1)) --dist worksteal -m "slow and not slurm"

test-queue: $(STAMP)
	$(BIN)/pytest tests/slurm -m slow

lint: style typecheck

style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy wants an installed package: over the folders it fails where the clone's name is no identifier.
typecheck: $(STAMP)
	rm -rf $(WHEEL) build
	$(BIN)/pip wheel -q --no-deps --no-build-isolation -w $(WHEEL) .
	rm -rf build
	$(BIN)/pip install -q --no-deps --target $(WHEEL)/site $(WHEEL)/*.whl
	cd $(WHEEL)/site && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p valenceflow

# pip would compile on one core, others' tests too, which was half of the installation (py312_: what Python 3.11 cannot read).
$(STAMP): pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt 'setuptools>=77' wheel
	$(BIN)/pip install -q --no-compile -c constraints.txt --no-build-isolation -e '.[all,dev]'
	$(BIN)/python -m compileall -q -j $(WORKERS) -x '/tests?/|/py312_' $$($(BIN)/python -c 'import site; print(*site.getsitepackages())')
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
