# Reads a network and the images on which networks are compared.
# Makes an activation store of it: every layer, (samples, neurons), the same samples in each network.


rule extract:
    """Record a network's activations in one forward pass: each layer at places of its own map."""
    input:
        images=standing(PATHS.data("images.safetensors")),
        network=standing(network_file(".safetensors")),
        record=standing(network_file(".json")),
    output:
        store=update(directory(PATHS.activations("{network}"))),
        provenance=update(PATHS.record(PATHS.activations("{network}"))),
    log:
        PATHS.log(PATHS.activations("{network}")),
    benchmark:
        PATHS.benchmark(PATHS.activations("{network}"))
    threads: config["threads"]
    resources:
        mem_mb=extract_mb,
        runtime=minutes(60),
        gpu=GPU,
    params:
        extraction=config["extraction"],
        planned=planned_layers,
        digest=PATHS.recording_digest,
        reads=read_in_extraction,
    script:
        "../workflow_scripts/extract.py"


use rule extract as extract_places with:
    """Record a network's activations once more: all layers at the same places of the images."""
    output:
        store=update(directory(PATHS.places("{network}"))),
        provenance=update(PATHS.record(PATHS.places("{network}"))),
    log:
        PATHS.log(PATHS.places("{network}")),
    benchmark:
        PATHS.benchmark(PATHS.places("{network}"))
    params:
        # No positions or draws of them.
        extraction={key: config["extraction"][key] for key in ("nodes", "batch_size")},
        places=config["heat_map"],
        planned=planned_layers,
        digest=PATHS.places_digest,
        reads=read_in_extraction,
