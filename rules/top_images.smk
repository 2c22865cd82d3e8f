# Reads a network's activation store.
# Makes, for each neuron, the images that activate it most.


rule top_images:
    """Find what each neuron of one network likes to see."""
    input:
        store=standing(PATHS.activations("{network}")),
    output:
        update(PATHS.top_images("{network}")),
        provenance=update(PATHS.record(PATHS.top_images("{network}"))),
    log:
        PATHS.log(PATHS.top_images("{network}")),
    benchmark:
        PATHS.benchmark(PATHS.top_images("{network}"))
    resources:
        mem_mb=top_images_mb,
        runtime=minutes(20),
    params:
        digest=PATHS.top_images_digest,
    script:
        "../workflow_scripts/top_images.py"
