# Reads the activation store of a network in which all layers have the same samples.
# Makes the match path of every two of its layers, and all other measures of their similarity.


rule within_network:
    """Compare every two layers of one network."""
    input:
        store=any_age(PLAN.paths.heat_map_activations("{network}")),
    output:
        layers=update(PLAN.paths.within_network("{network}")),
        provenance=update(PLAN.paths.record(PLAN.paths.within_network("{network}"))),
    log:
        PLAN.paths.log(PLAN.paths.within_network("{network}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.within_network("{network}"))
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.within_network_mb,
        runtime=RESOURCES.minutes(60),
        gpu=RESOURCES.gpu,
    params:
        chunk_samples=config["matching"]["chunk_samples"],
        digest=PLAN.paths.within_network_digest,
    script:
        "../workflow_scripts/within_network.py"
