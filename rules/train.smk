# Reads the prepared data sets.
# Makes networks, each with a record: initial ones, then trained ones at several stages with the
# history of their training; or takes over weights that are given.


rule initialise:
    """Draw one network's initial weights from its seed."""
    input:
        data=standing(lambda wildcards: LAYOUT.data("data.json", data_of(wildcards))),
    output:
        network=update(LAYOUT.training("{model}", "{seed}", "initial.safetensors")),
        record=update(LAYOUT.training("{model}", "{seed}", "initial.json")),
        provenance=update(LAYOUT.record(LAYOUT.training("{model}", "{seed}", "initial"))),
    log:
        LAYOUT.log(LAYOUT.training("{model}", "{seed}", "initial")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.training("{model}", "{seed}", "initial"))
    wildcard_constraints:
        model=INITIAL,
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        network=lambda wildcards: LAYOUT.models_by_key[wildcards.model].network,
        reads=lambda wildcards: own_modules(wildcards.model),
    script:
        "../workflow_scripts/initialise.py"


rule train:
    """Train one network from a seed; a killed training resumes at its last epoch."""
    input:
        start=standing(lambda wildcards: LAYOUT.start(wildcards.model, int(wildcards.seed))),
        images=standing(lambda wildcards: LAYOUT.data("images.safetensors", data_of(wildcards))),
    output:
        networks=[
            update(LAYOUT.training("{model}", "{seed}", f"{stage}.safetensors"))
            for stage in STAGES
        ],
        records=[update(LAYOUT.training("{model}", "{seed}", f"{stage}.json")) for stage in STAGES],
        history=update(LAYOUT.training("{model}", "{seed}", "history.csv")),
        provenance=update(LAYOUT.record(LAYOUT.training("{model}", "{seed}", "train"))),
    log:
        LAYOUT.log(LAYOUT.training("{model}", "{seed}", "train")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.training("{model}", "{seed}", "train"))
    wildcard_constraints:
        model=TRAINED,
    threads: config["threads"]
    resources:
        mem_mb=train_mb,
        runtime=minutes(240),
        gpu=GPU,
    params:
        data=lambda wildcards: LAYOUT.data_sets[data_of(wildcards)],
        network=lambda wildcards: LAYOUT.models_by_key[wildcards.model].network,
        training=lambda wildcards: LAYOUT.models_by_key[wildcards.model].training,
        epochs=LAYOUT.kept_epochs,
        reads=lambda wildcards: [
            *own_modules(wildcards.model),
            *image_files(LAYOUT.models_by_key[wildcards.model].data),
        ],
    script:
        "../workflow_scripts/train.py"


rule take_weights:
    """Take over a network whose weights are given."""
    output:
        network=update(LAYOUT.training("{model}", "{seed}", "last.safetensors")),
        record=update(LAYOUT.training("{model}", "{seed}", "last.json")),
        provenance=update(LAYOUT.record(LAYOUT.training("{model}", "{seed}", "last"))),
    log:
        LAYOUT.log(LAYOUT.training("{model}", "{seed}", "last")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.training("{model}", "{seed}", "last"))
    wildcard_constraints:
        model=GIVEN,
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        network=lambda wildcards: LAYOUT.models_by_key[wildcards.model].network,
        images=images_of,
        image_size=lambda wildcards: LAYOUT.models_by_key[wildcards.model].data["image_size"],
        reads=lambda wildcards: network_sources(LAYOUT.models_by_key[wildcards.model].network),
    script:
        "../workflow_scripts/take_weights.py"
