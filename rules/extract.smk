# Reads a network and the images on which networks are compared.
# Makes activation stores: (samples, neurons) of every layer, the same samples in each network. In
# the first store, which is matched, each layer has samples of its own; in that of heat maps all
# layers have the same.


rule extract:
    """Extract the activations of one network, in one pass over the images."""
    input:
        images=any_age(PLAN.paths.data("images.safetensors")),
        network=any_age(PLAN.network_file(".safetensors")),
        record=any_age(PLAN.network_file(".json")),
    output:
        stores=[update(directory(store)) for store in PLAN.paths.stores("{network}")],
        provenance=[update(PLAN.paths.record(store)) for store in PLAN.paths.stores("{network}")],
    log:
        PLAN.paths.log(PLAN.paths.activations("{network}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.activations("{network}"))
    # All matching waits for it.
    priority: 2
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.extract_mb,
        runtime=RESOURCES.minutes(60),
        gpu=RESOURCES.gpu,
    params:
        # One entry for each store.
        each=PLAN.paths.samplings,
        planned=PLAN.planned_layers,
        task=PLAN.task,
        reads=PLAN.extraction_sources,
    script:
        "../workflow_scripts/extract.py"
