# Reads a trained network and the evaluation images.
# Makes one activation store a network: every layer, (samples, neurons), the same samples in each.


rule extract:
    """Record a network's activations in one forward pass."""
    input:
        images=rules.prepare_data.output.images,
        network=rules.train.output.network,
        record=rules.train.output.record,
        code=code("extract"),
    output:
        store=directory(LAYOUT.activations("{seed}")),
    log:
        LAYOUT.log(LAYOUT.activations("{seed}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.activations("{seed}"))
    threads: config["threads"]
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        extraction=config["extraction"],
        digest=LAYOUT.activations_digest,
    script:
        "../workflow_scripts/extract.py"
