# Reads the tables, and the images that networks are compared on.
# Makes the figures, in each format of the configuration.


rule plot:
    """Draw the figures from the tables."""
    input:
        # By the name of each table that a figure shows.
        **{
            table: any_age(PLAN.table(table))
            for table in dict.fromkeys(
                name for figure in FIGURES.values() for name in figure.tables
            )
        },
        images=any_age(PLAN.paths.data("images.safetensors")),
    output:
        [
            # Snakemake's own report shows one format.
            (
                report(
                    update(figure),
                    category="Figures",
                    caption="captions/figure.rst",
                    labels={
                        "figure": Path(figure).stem.replace("_", " "),
                        "shows": FIGURES[Path(figure).stem].summary,
                    },
                )
                if figure.endswith(config["figures"]["formats"][0])
                else update(figure)
            )
            for figure in PLAN.figures
        ],
        captions=update(PLAN.paths.experiment("figures/captions.json")),
        provenance=update(PLAN.paths.record(PLAN.paths.experiment("plot"))),
    log:
        PLAN.paths.log(PLAN.paths.experiment("plot")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.experiment("plot"))
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        reads=PLAN.image_sources,
    script:
        "../workflow_scripts/plot.py"
