# Reads the tables, and the images of the data set on which networks are compared.
# Makes the figures, in each format of the configuration.


rule plot:
    """Draw the paper's figures."""
    input:
        summary=standing(TABLES["summary_parquet"]),
        neurons=standing(TABLES["neurons_parquet"]),
        measures=standing(TABLES["measures_parquet"]),
        minimal_matches=standing(TABLES["minimal_matches_parquet"]),
        minimal_match_members=standing(TABLES["minimal_match_members_parquet"]),
        heat_map=standing(TABLES["heat_map_parquet"]),
        networks=standing(TABLES["networks_csv"]),
        top_images=standing(TABLES["top_images_parquet"]),
        images=standing(PATHS.data("images.safetensors")),
    output:
        [
            # One format is enough for Snakemake's own report.
            (
                report(
                    update(figure),
                    category="Figures",
                    caption=f"captions/{Path(figure).stem}.rst",
                    labels={"figure": Path(figure).stem.replace("_", " ")},
                )
                if figure.endswith(config["figures"]["formats"][0])
                else update(figure)
            )
            for figure in FIGURES
        ],
        captions=update(PATHS.experiment("figures/captions.json")),
        provenance=update(PATHS.record(PATHS.experiment("plot"))),
    log:
        PATHS.log(PATHS.experiment("plot")),
    benchmark:
        PATHS.benchmark(PATHS.experiment("plot"))
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        reads=image_files(config["data"]),
    script:
        "../workflow_scripts/plot.py"
