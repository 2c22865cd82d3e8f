# Reads the activation store of a network.
# Makes the images that activate each neuron most.


rule top_images:
    """Find the images that activate each neuron of one network most."""
    input:
        store=any_age(PLAN.paths.activations("{network}")),
    output:
        update(PLAN.paths.top_images("{network}")),
        provenance=update(PLAN.paths.record(PLAN.paths.top_images("{network}"))),
    log:
        PLAN.paths.log(PLAN.paths.top_images("{network}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.top_images("{network}"))
    resources:
        mem_mb=RESOURCES.top_images_mb,
        runtime=RESOURCES.minutes(20),
    params:
        digest=PLAN.paths.top_images_digest,
    script:
        "../workflow_scripts/top_images.py"
