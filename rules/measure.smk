# Reads the moments of a group of layers.
# Makes the other measures of similarity, of each layer's first draw.


rule measure:
    """Measure some layers' similarity in other ways."""
    input:
        moments=LAYOUT.match("{a}", "{b}", "{group}", "moments.npz"),
        code=code("measure"),
    output:
        measures=LAYOUT.measures("{a}", "{b}", "{group}"),
    log:
        LAYOUT.log(LAYOUT.measures("{a}", "{b}", "{group}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.measures("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=one_layer_mb,
        runtime=minutes(20, measure_work),
    params:
        layers=group_of,
    script:
        "../workflow_scripts/measure.py"
