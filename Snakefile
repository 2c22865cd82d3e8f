"""Do two networks of one architecture learn the same representation, layer by layer?

    prepare_data -> initialise -> train (a seed) -> extract (a network) -> match (a pair, a layer)
        -> certify, measure, minimal_match (an epsilon), null, heat_map (a pair) -> aggregate
        -> plot, report

`snakemake` makes the tables and figures of config/config.yaml; an experiment of one's own is
`snakemake --configfile config/mine.yaml`.
"""

from snakemake.utils import min_version

min_version("9.20")


include: "rules/common.smk"
include: "rules/outputs.smk"
include: "rules/resources.smk"


rule all:
    """The tables and figures of the configuration, and its page."""
    default_target: True
    input:
        TABLES.values(),
        FIGURES,
        PATHS.experiment("report.html"),
        # Written last: what has none was not finished.
        [PATHS.record(PATHS.experiment(job)) for job in ("aggregate", "plot", "report")],


rule data_sets:
    """The prepared data sets of the configuration."""
    input:
        [PATHS.data("images.safetensors", key) for key in PATHS.data_sets],


rule figures:
    """The figures of the configuration."""
    input:
        FIGURES,


include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/extract.smk"
include: "rules/match.smk"
include: "rules/certify.smk"
include: "rules/measure.smk"
include: "rules/minimal_match.smk"
include: "rules/null.smk"
include: "rules/heat_map.smk"
include: "rules/top_images.smk"
include: "rules/aggregate.smk"
include: "rules/plot.smk"
include: "rules/report.smk"


onstart:
    tell_jobs_whether_they_are_forced()


onsuccess:
    print(f"Tables and figures: {PATHS.experiment('')}")
    print(f"To explore in a browser: {PATHS.experiment('report.html')}")
