# Reads a network and the images on which networks are compared.
# Makes an activation store of it: every layer, (samples, neurons), the same samples in each network.


rule extract:
    """Record a network's activations in one forward pass: each layer at places of its own map."""
    input:
        images=LAYOUT.data("images.safetensors"),
        network=network_file(".safetensors"),
        record=network_file(".json"),
        own_code=lambda wildcards: own_code(wildcards.network.partition(".")[0]),
        code=code("extract"),
    output:
        store=directory(LAYOUT.activations("{network}")),
    log:
        LAYOUT.log(LAYOUT.activations("{network}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.activations("{network}"))
    threads: config["threads"]
    resources:
        mem_mb=extract_mb,
        runtime=minutes(60),
        gpu=GPU,
    params:
        extraction=config["extraction"],
        planned=planned_layers,
        digest=LAYOUT.recording_digest,
    script:
        "../workflow_scripts/extract.py"


use rule extract as extract_places with:
    """Record a network's activations once more: all layers at the same places of the images."""
    output:
        store=directory(LAYOUT.places("{network}")),
    log:
        LAYOUT.log(LAYOUT.places("{network}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.places("{network}"))
    params:
        # No positions or draws of them.
        extraction={key: config["extraction"][key] for key in ("nodes", "batch_size")},
        places=config["heat_map"],
        planned=planned_layers,
        digest=LAYOUT.places_digest,
