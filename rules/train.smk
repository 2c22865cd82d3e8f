# Reads the prepared data set.
# Makes, for each seed, a trained network, its record (accuracy, configuration) and its history.


rule train:
    """Train one network from a seed; a killed training resumes at its last epoch."""
    input:
        images=rules.prepare_data.output.images,
        code=code("train"),
    output:
        network=LAYOUT.network("{seed}", "network.safetensors"),
        record=LAYOUT.network("{seed}", "network.json"),
        history=LAYOUT.network("{seed}", "history.csv"),
    log:
        LAYOUT.log(LAYOUT.network("{seed}", "train")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.network("{seed}", "train"))
    threads: config["threads"]
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        seed=lambda wildcards: int(wildcards.seed),
        network=config["network"],
        training=config["training"],
        digest=LAYOUT.network_digest,
    script:
        "../workflow_scripts/train.py"
