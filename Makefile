# A person's commands and CI's: the same.
#
#   make run     set up, then the pipeline of config/config.yaml
#   make slurm   the same, its jobs on a Slurm cluster (profiles/slurm says how)
#   make test    set up, then all tests
#   make lint    set up, then style, format, types and docstrings
#   make bench   set up, then every benchmark, each against a readable reference
#
# VENV is the environment's folder; clones may share one: make run VENV=~/venvs/subspace-match

VENV ?= .venv
PYTHON ?= python3
PYTEST_FLAGS ?= -n 2 --dist worksteal
export PATH := $(abspath $(VENV))/bin:$(PATH)
# The package of this folder, whichever clone the environment was made for.
export PYTHONPATH := $(CURDIR)

# The environment is renewed when what it is made from changes, not when a clone is younger.
READY := $(VENV)/.ready-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: run slurm test lint bench setup clean

run: setup
	snakemake

slurm: setup
	snakemake --profile profiles/slurm

test: setup
	pytest $(PYTEST_FLAGS)

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check --line-length 100 Snakefile rules
	mypy
	oxlint --deny-warnings subspace_match/report/page

bench: setup
	for bench in match_path reduction minimal_matches heat_map extraction training planning jobs report; do \
		python benchmarks/bench_$$bench.py || exit 1; done

setup: $(READY)

$(READY):
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --constraint constraints.txt --editable ".[test,lint]"
	touch $@

clean:
	rm -rf results .snakemake
