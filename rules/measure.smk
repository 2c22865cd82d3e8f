# Reads the moments of a group of layers.
# Makes the other measures of similarity, of each layer's first draw.


rule measure:
    """Measure some layers' similarity in other ways."""
    input:
        moments=standing(PATHS.match("{a}", "{b}", "{group}", "moments.npz")),
    output:
        measures=update(PATHS.measures("{a}", "{b}", "{group}")),
        provenance=update(PATHS.record(PATHS.measures("{a}", "{b}", "{group}"))),
    log:
        PATHS.log(PATHS.measures("{a}", "{b}", "{group}")),
    benchmark:
        PATHS.benchmark(PATHS.measures("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=one_layer_mb,
        runtime=minutes(20, measure_work),
    params:
        layers=group_of,
    script:
        "../workflow_scripts/measure.py"
