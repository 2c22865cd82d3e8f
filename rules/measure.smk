# Reads the moments of a group of layers.
# Makes the other measures of similarity, on the first draw of each layer.


rule measure:
    """Compute other measures of similarity for some layers."""
    input:
        moments=any_age(PLAN.paths.match("{a}", "{b}", "{group}", "moments.npz")),
    output:
        measures=update(PLAN.paths.measures("{a}", "{b}", "{group}")),
        provenance=update(PLAN.paths.record(PLAN.paths.measures("{a}", "{b}", "{group}"))),
    log:
        PLAN.paths.log(PLAN.paths.measures("{a}", "{b}", "{group}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.measures("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.one_layer_mb,
        runtime=RESOURCES.minutes(20, RESOURCES.measure_work),
    params:
        layers=PLAN.group,
    script:
        "../workflow_scripts/measure.py"
