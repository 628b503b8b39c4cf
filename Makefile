# Everything sets itself up: a virtual environment in .venv with the pinned requirements of envs/.
PYTHON ?= python3
VENV ?= .venv
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
# What `make run`, `make data` and `make plan` take, as a trial if TRIAL is given:
# make run RECIPE=m3 TRIAL='{rows: 200, steps: 10}'.
RECIPE = demo
TRIAL =
REPORT = report$(if $(TRIAL),-trial).html
RECIPES = --config 'recipes=[$(RECIPE)]' $(if $(TRIAL),'trial=$(TRIAL)')
# For which machine `make plan` plans.
GPU = h100
GPUS = 8
NODES = 1
# Bytecode is compiled when a module is first imported: compiling all of it would double the installation's time. Images
# often forbid to keep it; then each of a run's Pythons would compile its libraries again, for as long as it takes to
# import them.
unexport PYTHONDONTWRITEBYTECODE
PIP = $(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-compile
# Steps call `python`; this one comes first.
export PATH := $(abspath $(VENV))/bin:$(PATH)
# A lock is complete and hashed: pip resolves nothing, and checks every file but torch's (envs/torch.txt).
INSTALL = $(PIP) --no-deps --require-hashes
COMPILE = $(VENV)-lock/bin/uv pip compile --quiet --generate-hashes --no-annotate --custom-compile-command "make lock"
ANYWHERE = --universal --python-version 3.11 --fork-strategy fewest
CLUSTER = --python-platform x86_64-unknown-linux-gnu --python-version 3.12
SNAKEMAKE = $(VENV)/bin/snakemake --cores $(CORES)
# By files, in the order that tests/conftest.py gives them; a worker that dies is not started again, or it would hang
# again.
SPREAD = --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# One more than there are cores, since tests wait for processes, too.
WORKERS = $(shell expr $(CORES) + 1)

.PHONY: demo run data plan test test-fast lint format tests unit workflow slurm-test nightly gradients gpu-test acceptance bench-train bench-data bench-tokens bench-teachers schemas lock clean

demo: override RECIPE = demo
demo: run  ## build the recipe `demo`, its card and its report

run: $(VENV)/.ready  ## build RECIPE, print its scores, and write its report
	$(SNAKEMAKE) $(RECIPES)
	$(VENV)/bin/snakemake $(RECIPES) --report $(REPORT) --quiet host progress reason rules
	$(VENV)/bin/python scripts/print_scores.py results/$(RECIPE)$(if $(TRIAL),-trial) --report $(REPORT)

data: $(VENV)/.ready  ## make only the training pairs of RECIPE, check them for test texts, and show them
	$(SNAKEMAKE) $(RECIPES) -- data

plan: $(VENV)/.ready  ## print what RECIPE costs on NODES nodes of GPUS GPUs: tokens, FLOPs, memory, GPU-hours
	@$(VENV)/bin/python scripts/plan_recipe.py --recipe $(RECIPE) $(if $(TRIAL),--trial '$(TRIAL)') --gpu $(GPU) --gpus $(GPUS) --nodes $(NODES)

test: lint tests slurm-test  ## all that CI runs

test-fast: $(VENV)/.ready-dev  ## the tests that take an instant, six in seven, while you edit
	$(VENV)/bin/python -m pytest -m "not slow and not workflow and not slurm and not nightly" -n $(CORES) $(SPREAD)

lint: $(VENV)/.ready-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile rules
	$(VENV)/bin/snakemake --lint

format: $(VENV)/.ready-dev
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/snakefmt Snakefile rules

tests: $(VENV)/.ready-dev  ## unit and workflow together, whose workers wait for each other less
	$(VENV)/bin/python -m pytest -m "not slurm and not nightly" -n $(WORKERS) $(SPREAD)

unit: $(VENV)/.ready-dev
	$(VENV)/bin/python -m pytest -m "not workflow and not slurm and not nightly" -n $(WORKERS) $(SPREAD)

workflow: $(VENV)/.ready-dev
	$(VENV)/bin/python -m pytest -m "workflow and not nightly" -n 2 $(SPREAD)

slurm-test: $(VENV)/.ready-dev  ## the small recipe by a SLURM of its own, disturbed in two ways (six more: make nightly); needs root on Debian, else skips
	$(VENV)/bin/python -m pytest -m "slurm and not nightly" -rs --capture=no

nightly: $(VENV)/.ready-dev  ## what takes long: the whole matrix of gradients, twenty kills, more disturbances of SLURM
	$(VENV)/bin/python -m pytest -m nightly --timeout 0 -rs --capture=no

gradients: $(VENV)/.ready-dev  ## the gradient at 1, 2 and 4 processes, every loss, way and ZeRO stage, against float64; planted errors
	$(VENV)/bin/python -m pytest tests/training/test_gradients.py tests/training/test_pretraining.py -k gradient --capture=no

gpu-test: $(VENV)-gpu/.ready  ## the checks that need a GPU, with the torch that PYTHON has: make gpu-test PYTHON=/opt/conda/bin/python
	$(VENV)-gpu/bin/python -m pytest -m gpu -rs --capture=no

acceptance:  ## is training right on a GPU, and how fast: ten minutes, with the packages of PYTHON; ARGS=--tiny tries it on a CPU
	$(PYTHON) tests/gpu/acceptance.py $(ARGS)

bench-train: $(VENV)/.ready-dev  ## training speed beside other trainers, on the demo's base model and pairs
	$(SNAKEMAKE) --quiet all --config 'recipes=[demo]' -- results/demo/base/model results/demo/leakage.json
	$(VENV)/bin/python tests/benchmarks/train_throughput.py --model results/demo/base/model \
	  --pairs $$(ls -t results/pairs/questions-*/pairs-*.parquet | head -n 1) $(BENCH)

bench-data: $(VENV)/.ready-dev  ## from raw rows to pairs, beside datasets: BENCH='--rows 20000000 --parts 8'
	$(VENV)/bin/python tests/benchmarks/data.py --peers --folder bench-data $(BENCH)

bench-tokens: $(VENV)/.ready-dev  ## memory of tokenising, and of reading batches from tokens: BENCH='--rows 50000000'
	$(VENV)/bin/python tests/benchmarks/tokens.py --folder bench-tokens $(BENCH)

bench-teachers: $(VENV)/.ready-dev  ## memory of a teacher's scores and embeddings: BENCH='--rows 20000 200000'
	$(VENV)/bin/python tests/benchmarks/teachers.py --folder bench-teachers $(BENCH)

schemas: $(VENV)/.ready  ## write config/schemas and docs/reference.md from scripts/ascent/settings, docs/recipes.md from the recipes
	$(VENV)/bin/python scripts/generate_schemas.py
	$(VENV)/bin/python scripts/list_mteb_tasks.py

lock:  ## resolve envs/*.in into envs/*.txt, and write the pip part of envs/*.yaml
	$(PYTHON) -m venv --clear $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(COMPILE) $(ANYWHERE) envs/ascent.in --constraints envs/torch.txt --no-emit-package torch --excludes envs/cuda.txt \
	  -o envs/ascent.txt
	$(COMPILE) $(ANYWHERE) envs/dev.in -o envs/dev.txt
	$(COMPILE) $(CLUSTER) envs/gpu.in --no-emit-package faiss-cpu -o envs/gpu.txt
	$(VENV)-lock/bin/python scripts/generate_environments.py
	rm -rf $(VENV)-lock

# PYTHON's torch stays; all else comes from the lock.
$(VENV)-gpu/.ready: envs/ascent.txt envs/dev.txt
	$(PYTHON) -c 'import torch; assert torch.cuda.is_available()' 2> /dev/null \
	  || { echo "error: $(PYTHON) has no torch that sees a GPU; give another one: make gpu-test PYTHON=..."; exit 1; }
	$(PYTHON) -m venv --system-site-packages $(VENV)-gpu
	$(VENV)-gpu/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r envs/ascent.txt
	$(VENV)-gpu/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r envs/dev.txt
	@touch $@

clean:  ## remove what runs made; the environment and downloads stay
	rm -rf results logs benchmarks report.html report-trial.html .snakemake

$(VENV)/.ready: envs/ascent.txt envs/torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than 3.11; give another one: make PYTHON=python3.12 ..."; exit 1; }
	@echo "setting up $(VENV) (one to two minutes)"
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r envs/ascent.txt
	$(PIP) -r envs/torch.txt
	@touch $@

$(VENV)/.ready-dev: envs/dev.txt $(VENV)/.ready
	$(INSTALL) -r envs/dev.txt
	@touch $@
