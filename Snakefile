"""Do two networks of one architecture learn the same representation, layer by layer?

    prepare_data -> train, initialise or load_pretrained (per seed) -> extract (per network) ->
        match (per pair and group of layers) -> certify, measure, minimal_match, null, heat_map,
        within_network, consensus, top_images -> aggregate -> plot, report

`snakemake` makes the tables and figures of config/config.yaml. For an experiment of your own run
`snakemake --configfile config/mine.yaml`.
"""

import sys
from functools import partial
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")

# Use the package in this folder, whatever else is installed.
sys.path.insert(0, workflow.basedir)

from subspace_match.experiment.resources import JobResources
from subspace_match.figures.registry import FIGURES, figure_names
from subspace_match.results.registry import TABLES
from subspace_match.workflow import snakemake_outputs, snakemake_scheduler, terminal
from subspace_match.workflow.snakemake_plan import plan_of, tell_jobs_whether_forced

# Rules wrap inputs in any_age and outputs in update; the module says why.
snakemake_outputs.keep_outputs()
snakemake_outputs.require_records()
snakemake_outputs.ignore_times()
snakemake_scheduler.ignore_input_sizes()
any_age = partial(snakemake_outputs.any_age, workflow)
PLAN = plan_of(workflow, config, TABLES, figure_names)
RESOURCES = JobResources(PLAN)


wildcard_constraints:
    data=r"\w+-[0-9a-f]{10}",
    model=r"[\w-]+-[0-9a-f]{10}",
    seed=r"\d+",
    network=r"[\w.-]+",
    a=r"((?!--)[\w.-])+",
    b=r"((?!--)[\w.-])+",
    networks=r"\d+-[0-9a-f]{10}",
    group=r"[a-z]+\d+-[a-z]+\d+(-\d+of\d+)?-[0-9a-f]{10}",
    epsilon=r"[\d.e-]+",


# These take seconds and little memory, so they run where Snakemake runs, not on the cluster.
localrules:
    all,
    prepare_data,
    initialise,
    load_pretrained,
    aggregate,
    plot,
    report,


rule all:
    """Make the tables, the figures and the page of the configuration."""
    default_target: True
    input:
        PLAN.tables.values(),
        PLAN.figures,
        PLAN.paths.experiment("report.html"),
        # Written last: without its record a job has not finished.
        [PLAN.paths.record(PLAN.paths.experiment(job)) for job in ("aggregate", "plot", "report")],


rule data_sets:
    """Prepare the data sets of the configuration."""
    input:
        [PLAN.paths.data("images.safetensors", key) for key in PLAN.paths.data_sets],


rule figures:
    """Make the figures of the configuration."""
    input:
        PLAN.figures,


# One file per step.
for rules_file in sorted(Path(workflow.basedir, "rules").glob("*.smk")):

    include: str(rules_file)


terminal.one_line_per_job(workflow, PLAN.paths.experiment("report.html"))


onstart:
    tell_jobs_whether_forced(workflow)


onsuccess:
    # It needs pandas, which the jobs should not wait for.
    from subspace_match.results.findings import read_closing_lines

    # Some targets are less than a whole experiment.
    if Path(PLAN.paths.experiment("report.html")).exists():
        lines = read_closing_lines(PLAN.paths.experiment(""), config["results"])
        print("", *lines, sep="\n", flush=True)


onerror:
    print("Finished results are kept: after a correction, run the same command again.", flush=True)
