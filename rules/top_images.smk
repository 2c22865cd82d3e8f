# Reads a network's activation store.
# Makes, for each neuron, the images that activate it most.


rule top_images:
    """Find what each neuron of one network likes to see."""
    input:
        store=LAYOUT.activations("{network}"),
        code=code("top_images"),
    output:
        LAYOUT.top_images("{network}"),
    log:
        LAYOUT.log(LAYOUT.top_images("{network}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.top_images("{network}"))
    resources:
        mem_mb=top_images_mb,
        runtime=minutes(20),
    params:
        digest=LAYOUT.recording_digest,
    script:
        "../workflow_scripts/top_images.py"
