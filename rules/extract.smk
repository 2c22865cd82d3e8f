# Reads a network and the images on which networks are compared.
# Makes an activation store: (samples, neurons) of every layer, the same samples in each network.


rule extract:
    """Extract the activations of one network: each layer at positions drawn for its map size."""
    input:
        images=any_age(PLAN.paths.data("images.safetensors")),
        network=any_age(PLAN.network_file(".safetensors")),
        record=any_age(PLAN.network_file(".json")),
    output:
        store=update(directory(PLAN.paths.activations("{network}"))),
        provenance=update(PLAN.paths.record(PLAN.paths.activations("{network}"))),
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
        extraction=config["extraction"],
        planned=PLAN.planned_layers,
        task=PLAN.task,
        digest=PLAN.paths.extraction_digest,
        reads=PLAN.extraction_sources,
    script:
        "../workflow_scripts/extract.py"


use rule extract as extract_heat_map with:
    """Extract the activations for the heat map: all layers at the same relative positions."""
    output:
        store=update(directory(PLAN.paths.heat_map_activations("{network}"))),
        provenance=update(PLAN.paths.record(PLAN.paths.heat_map_activations("{network}"))),
    log:
        PLAN.paths.log(PLAN.paths.heat_map_activations("{network}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.heat_map_activations("{network}"))
    params:
        extraction=PLAN.paths.heat_map_extraction,
        heat_map=PLAN.paths.heat_map_samples,
        planned=PLAN.planned_layers,
        task=PLAN.task,
        digest=PLAN.paths.heat_map_activations_digest,
        reads=PLAN.extraction_sources,
