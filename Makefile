# Commands for people and CI. Each sets up the environment first, if needed.
#
#   make run     run the pipeline of config/config.yaml
#   make slurm   run it with its jobs on a Slurm cluster (profiles/slurm configures it)
#   make test    run all tests
#   make lint    check style, format, types, docstrings and which module imports which
#   make docs    build the documentation in build/docs, with executed tutorials
#   make bench   run every benchmark, each against a readable reference
#   make gpu     check and time everything on a CUDA GPU, with the Python at hand: no set-up
#
# VENV is the environment's folder. Clones can share one: make run VENV=~/venvs/subspace-match

VENV ?= .venv
PYTHON ?= python3
# Three processes on two cores: they often wait for Slurm and for the programs that they start. A fourth
# would import and collect once more, which takes longer than it saves.
PYTEST_FLAGS ?= -n 3 --dist worksteal
export PATH := $(abspath $(VENV))/bin:$(PATH)
# Import the package from this folder even if another clone made the environment.
export PYTHONPATH := $(CURDIR)

# Named by content, so that the environment is updated when its requirements change, but not
# because a new clone has newer files.
READY := $(VENV)/.ready-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

# Without what is hardly ever imported. Some packages have files for other versions of Python.
COMPILE := python -m compileall -qq -x '/(tests?|testing|_vendored|mypyc?)/|/transformers/models/'

.PHONY: run slurm test lint docs bench gpu setup clean

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
	lint-imports --no-cache
	oxlint --deny-warnings subspace_match/report/page

docs: setup
	python docs/pictures/draw.py --check
	sphinx-build -W --keep-going --quiet docs build/docs

bench: setup
	for bench in match_path measures cross_fitted null reduction many_networks pair_match many_pairs minimal_matches \
			wide_minimal_matches layer_pairs extraction compare training planning jobs report; do \
		python benchmarks/bench_$$bench.py || exit 1; done

gpu:
	$(PYTHON) benchmarks/gpu.py

setup: $(READY)

$(READY):
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed')"
	$(PYTHON) -m venv $(VENV)
# The pip of Python 3.11 takes twice as long.
	pip install --quiet --upgrade "pip>=26"
# pip waits for the index's answer about each package. So three pips install the tested versions side by
# side, all but torch. Each takes its own packages only, whether or not this platform needs them, and may
# fail: the next pip sees what is missing.
	grep -v -e '^#' -e '^torch' constraints.txt \
		| xargs -n 90 -P 3 pip install --quiet --no-compile --no-deps || true
# While pip installs torch and checks all, compile on another core, which takes as long: the search for
# minimal matches, whose compilation takes longer than a job's work, then the package, which tests copy
# with its bytecode, and what is installed.
	{ python -W ignore -c "import numpy, subspace_match as sm; x = numpy.eye(3); \
		sm.minimal_matches(sm.match_path(sm.reduce(x, x)), 0.5)" && \
		{ $(COMPILE) subspace_match $(VENV)/lib || true; }; } & \
	pip install --quiet --no-compile --constraint constraints.txt \
		--editable ".[workflow,models,test,lint,docs]" && wait $$!
# Of what pip installed meanwhile, only these are large. To look at every other file takes as long again.
	$(COMPILE) -j 0 $(addprefix $(VENV)/lib/python*/site-packages/,torch* triton*) || true
	touch $@

clean:
	rm -rf results .snakemake
