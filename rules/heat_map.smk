# Reads the activation stores of two networks in which all layers have the same samples.
# Makes the match paths of every layer of one network with every layer of the other.


rule heat_map:
    """Match every layer of one network with every layer of another."""
    input:
        a=any_age(PLAN.paths.heat_map_activations("{a}")),
        b=any_age(PLAN.paths.heat_map_activations("{b}")),
    output:
        paths=update(PLAN.paths.heat_map("{a}", "{b}")),
        provenance=update(PLAN.paths.record(PLAN.paths.heat_map("{a}", "{b}"))),
    log:
        PLAN.paths.log(PLAN.paths.heat_map("{a}", "{b}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.heat_map("{a}", "{b}"))
    # It takes long, so that shorter jobs fill the cores at the end.
    priority: 1
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.heat_map_mb,
        runtime=RESOURCES.minutes(60),
        gpu=RESOURCES.gpu,
    params:
        chunk_samples=config["matching"]["chunk_samples"],
        digest=PLAN.paths.heat_map_digest,
    script:
        "../workflow_scripts/heat_map.py"
