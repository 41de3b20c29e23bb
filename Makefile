# Every target sets up what it needs in .venv first; a second run reuses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
DEMO_MODEL ?= out/demo/mobilenet_v2.onnx

.PHONY: demo test test-all chaos fuzz mutants lint types docs bench records lock dist clean

demo: $(VENV)/.installed
	$(BIN)/python examples/export_mobilenet_v2.py $(DEMO_MODEL)
	$(BIN)/armillary design $(DEMO_MODEL) --template edge_tpu --area 29 --out out/demo/study

test: $(VENV)/.dev $(VENV)/.chromium $(VENV)/.compiler $(VENV)/.timing
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --durations=30 --durations-min=10 -m "not slow"

test-all: $(VENV)/.dev $(VENV)/.fuzz $(VENV)/.dist $(VENV)/.chromium $(VENV)/.compiler $(VENV)/.timing
	$(BIN)/python -m pytest -q --timeout 3600

# A hundred kills, full disks, odd programs, damaged fragments and writers at once; the disks are mounted in a namespace.
chaos: $(VENV)/.dev $(VENV)/.compiler $(VENV)/.timing
	PYTHONPATH=tests unshare --map-root-user --mount $(BIN)/python -m chaos

fuzz: $(VENV)/.fuzz
	PYTHONPATH=tests $(BIN)/python -m fuzzing --minutes $(or $(MINUTES),60)

# Not for every change: a quarter of an hour. A mutant that lives is a line that no test of its module would miss.
mutants: $(VENV)/.mutants
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2
	@$(BIN)/mutmut results
	@$(BIN)/mutmut export-cicd-stats && cat mutants/mutmut-cicd-stats.json

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(VENV)/.installed
	$(BIN)/armillary bench edge-tpu-sanity
	$(BIN)/armillary bench speed
	$(BIN)/armillary bench first-light

# The benchmarks whose records the docs list, measured anew on a machine that does nothing else, as some time themselves.
# DATA holds the reference rows. A check that does not hold is a result: status 1 goes on, any other ends.
DATA ?= ../shared/data
RECORDS := "timeloop-parity --data $(DATA)" "maestro-agreement --data $(DATA)" "firesim --quick --data $(DATA)" \
	"llm --quick" "mapping --quick" "rtl --quick" "edge-tpu-sanity --quick" "speed --quick" "cost-speed --quick" \
	"own-log --quick --data $(DATA)" "spotlight-fig42 --quick" "spotlight-fig43 --quick"

records: $(VENV)/.dev
	rm -rf out/records
	for words in $(RECORDS); do \
	  $(BIN)/armillary bench $$words --out "out/records/$${words%% *}" --record docs/results || [ $$? = 1 ] || exit; \
	done
	$(BIN)/python docs/generate.py

lock: $(VENV)/.dist
	$(BIN)/python release/lock.py

# sdist, wheel, bill of materials and licences, the wheel tried in an environment of its own.
dist: $(VENV)/.dist
	rm -rf dist
	$(BIN)/python release/distribute.py dist

clean:
	rm -rf $(VENV) mutants out build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info

# Debian's Python comes without ensurepip; its package is the only thing that may be missing here.
$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Armillary needs Python 3.11 or newer; set PYTHON=python3.x")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch goes first and is spelt exactly so: another spelling, or leaving it to a dependency, brings
# the CUDA build where both are offered. A machine with a GPU keeps whichever build it is given.
$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	@if [ ! -e /dev/nvidia0 ] && $(BIN)/python -m pip list 2>/dev/null | grep -q '^nvidia-'; then \
	  echo "make: torch came with CUDA packages, but this machine has no GPU. Point pip at the CPU build"; \
	  echo "      (PIP_FIND_LINKS or PIP_INDEX_URL), run 'make clean', and try again."; exit 2; fi
	$(PIP) --editable .
	@/sbin/ldconfig -p | grep -q libgomp.so.1 || \
	  { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq libgomp1; }  # of LightGBM
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) --editable '.[coriolis,dev,physical,rtl]'
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	$(PIP) --editable '.[fuzz]'
	@touch $@

$(VENV)/.dist: $(VENV)/.dev
	$(PIP) --editable '.[dist]'
	@touch $@

$(VENV)/.mutants: $(VENV)/.dev
	$(PIP) --editable '.[mutants]'
	@touch $@

# The tests open the report in a real browser.
$(VENV)/.chromium: $(VENV)/.created
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium chromium-driver; }
	@touch $@

# Simulators of RTL are compiled on the spot; the headers are for those that write waves.
$(VENV)/.compiler: $(VENV)/.created
	@command -v g++ >/dev/null && [ -e /usr/include/lz4.h ] && [ -e /usr/include/zlib.h ] || \
	  { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq g++ liblz4-dev zlib1g-dev; }
	@touch $@

# Netlists of RTL are timed, and layouts made in two cell libraries, of which one is Debian's.
$(VENV)/.timing: $(VENV)/.created
	@command -v sta >/dev/null && [ -e /usr/share/qflow/tech/osu018/osu018_stdcells.lib ] || \
	  { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq opensta qflow-tech-osu018; }
	@touch $@
