# Reads the tables.
# Makes the figures, in each format of the configuration.


rule plot:
    """Draw the paper's figures."""
    input:
        similarity=rules.aggregate.output.similarity_parquet,
        neurons=rules.aggregate.output.neurons_parquet,
        measures=rules.aggregate.output.measures_parquet,
        heat_map=rules.aggregate.output.heat_map_parquet,
        minimal_matches=rules.aggregate.output.minimal_matches_parquet,
        code=code("plot"),
    output:
        FIGURES,
    log:
        LAYOUT.log(LAYOUT.experiment("plot")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.experiment("plot"))
    resources:
        mem_mb=2000,
        runtime=10,
    script:
        "../workflow_scripts/plot.py"
