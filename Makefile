# Everything sets itself up: a virtual environment in .venv with the pinned requirements of envs/.
PYTHON ?= python3
VENV ?= .venv
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# What `make plan` plans, and for which machine.
RECIPE = demo
GPU = h100
GPUS = 8
NODES = 1
# Bytecode is compiled when a module is first imported: compiling all of it would double the installation's time.
PIP = $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-compile
# Steps call `python`; this one comes first.
export PATH := $(abspath $(VENV))/bin:$(PATH)
SNAKEMAKE = $(VENV)/bin/snakemake --cores $(CORES)

.PHONY: demo plan test lint format unit workflow schemas lock clean

demo: $(VENV)/.ready  ## build the recipe `demo`, its card and its report
	$(SNAKEMAKE) --config 'recipes=[demo]' --quiet host reason
	$(VENV)/bin/snakemake --config 'recipes=[demo]' --report report.html --quiet all
	$(VENV)/bin/python scripts/print_scores.py results/demo --report report.html

plan: $(VENV)/.ready  ## print what RECIPE costs on NODES nodes of GPUS GPUs: tokens, FLOPs, memory, GPU-hours
	@$(VENV)/bin/python scripts/plan_recipe.py --recipe $(RECIPE) --gpu $(GPU) --gpus $(GPUS) --nodes $(NODES)

test: lint unit workflow  ## all that CI runs

lint: $(VENV)/.ready-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile rules
	$(VENV)/bin/snakemake --lint

format: $(VENV)/.ready-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/snakefmt Snakefile rules

unit: $(VENV)/.ready-dev
	$(VENV)/bin/python -m pytest -m "not workflow"

workflow: $(VENV)/.ready-dev
	$(VENV)/bin/python -m pytest -m workflow

schemas: $(VENV)/.ready  ## write config/schemas and config/README.md anew from scripts/ascent/settings.py
	$(VENV)/bin/python scripts/generate_schemas.py
	$(VENV)/bin/python scripts/list_mteb_tasks.py

lock:  ## resolve envs/*.in anew into envs/*.txt, in an environment of its own
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --no-compile -r envs/ascent.in
	$(VENV)-lock/bin/python -m pip freeze | sed 's/+cpu//' > envs/ascent.txt
	$(VENV)-lock/bin/python -m pip install --quiet --no-compile -r envs/dev.in
	$(VENV)-lock/bin/python -m pip freeze | sed 's/+cpu//' | grep -vxFf envs/ascent.txt > envs/dev.txt
	rm -rf $(VENV)-lock

clean:  ## remove what runs made; the environment and downloads stay
	rm -rf results logs benchmarks report.html .snakemake

$(VENV)/.ready: envs/ascent.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11; give another one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "setting up $(VENV) (one to two minutes)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r envs/ascent.txt
	@touch $@

$(VENV)/.ready-dev: envs/dev.txt $(VENV)/.ready
	$(PIP) -r envs/dev.txt
	@touch $@
