# Reads the tables, and the images that networks are compared on.
# Makes the figures, in each format of the configuration.


rule plot:
    """Draw the paper's figures."""
    input:
        summary=any_age(PLAN.table("summary")),
        neurons=any_age(PLAN.table("neurons")),
        measures=any_age(PLAN.table("measures")),
        minimal_matches=any_age(PLAN.table("minimal_matches")),
        minimal_match_members=any_age(PLAN.table("minimal_match_members")),
        heat_map=any_age(PLAN.table("heat_map")),
        networks=any_age(PLAN.table("networks")),
        top_images=any_age(PLAN.table("top_images")),
        images=any_age(PLAN.paths.data("images.safetensors")),
    output:
        [
            # Snakemake's own report shows one format.
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
