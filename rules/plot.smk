# Reads the tables, and the images of the data set on which networks are compared.
# Makes the figures, in each format of the configuration.


rule plot:
    """Draw the paper's figures."""
    input:
        summary=rules.aggregate.output.summary_parquet,
        neurons=rules.aggregate.output.neurons_parquet,
        measures=rules.aggregate.output.measures_parquet,
        minimal_matches=rules.aggregate.output.minimal_matches_parquet,
        minimal_match_members=rules.aggregate.output.minimal_match_members_parquet,
        heat_map=rules.aggregate.output.heat_map_parquet,
        networks=rules.aggregate.output.networks_csv,
        top_images=rules.aggregate.output.top_images_parquet,
        images=LAYOUT.data("images.safetensors"),
        code=code("plot"),
    output:
        [
            # One format is enough for Snakemake's own report.
            (
                report(
                    figure,
                    category="Figures",
                    caption=f"captions/{Path(figure).stem}.rst",
                    labels={"figure": Path(figure).stem.replace("_", " ")},
                )
                if figure.endswith(config["figures"]["formats"][0])
                else figure
            )
            for figure in FIGURES
        ],
        captions=LAYOUT.experiment("figures/captions.json"),
    log:
        LAYOUT.log(LAYOUT.experiment("plot")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.experiment("plot"))
    resources:
        mem_mb=2000,
        runtime=10,
    script:
        "../workflow_scripts/plot.py"
