# Reads the prepared data sets.
# Makes networks, each with a record: initial ones, then trained ones at several stages with the
# history of their training; or takes over weights that are given.


rule initialise:
    """Draw one network's initial weights from its seed."""
    input:
        data=standing(lambda wildcards: PATHS.data("data.json", data_of(wildcards))),
    output:
        network=update(PATHS.training("{model}", "{seed}", "initial.safetensors")),
        record=update(PATHS.training("{model}", "{seed}", "initial.json")),
        provenance=update(PATHS.record(PATHS.training("{model}", "{seed}", "initial"))),
    log:
        PATHS.log(PATHS.training("{model}", "{seed}", "initial")),
    benchmark:
        PATHS.benchmark(PATHS.training("{model}", "{seed}", "initial"))
    wildcard_constraints:
        model=INITIAL,
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        network=lambda wildcards: PATHS.models_by_key[wildcards.model].network,
        reads=lambda wildcards: own_modules(wildcards.model),
    script:
        "../workflow_scripts/initialise.py"


rule train:
    """Train one network from a seed; a killed training resumes at its last epoch."""
    input:
        start=standing(lambda wildcards: PATHS.start(wildcards.model, int(wildcards.seed))),
        images=standing(lambda wildcards: PATHS.data("images.safetensors", data_of(wildcards))),
    output:
        networks=[
            update(PATHS.training("{model}", "{seed}", f"{stage}.safetensors")) for stage in STAGES
        ],
        records=[update(PATHS.training("{model}", "{seed}", f"{stage}.json")) for stage in STAGES],
        history=update(PATHS.training("{model}", "{seed}", "history.csv")),
        provenance=update(PATHS.record(PATHS.training("{model}", "{seed}", "train"))),
    log:
        PATHS.log(PATHS.training("{model}", "{seed}", "train")),
    benchmark:
        PATHS.benchmark(PATHS.training("{model}", "{seed}", "train"))
    wildcard_constraints:
        model=TRAINED,
    threads: config["threads"]
    resources:
        mem_mb=train_mb,
        runtime=minutes(240),
        gpu=GPU,
    params:
        data=lambda wildcards: PATHS.data_sets[data_of(wildcards)],
        network=lambda wildcards: PATHS.models_by_key[wildcards.model].network,
        training=lambda wildcards: PATHS.models_by_key[wildcards.model].training,
        epochs=PATHS.kept_epochs,
        reads=lambda wildcards: [
            *own_modules(wildcards.model),
            *image_files(PATHS.models_by_key[wildcards.model].data),
        ],
    script:
        "../workflow_scripts/train.py"


rule load_pretrained:
    """Take over a network whose weights are given."""
    output:
        network=update(PATHS.training("{model}", "{seed}", "last.safetensors")),
        record=update(PATHS.training("{model}", "{seed}", "last.json")),
        provenance=update(PATHS.record(PATHS.training("{model}", "{seed}", "last"))),
    log:
        PATHS.log(PATHS.training("{model}", "{seed}", "last")),
    benchmark:
        PATHS.benchmark(PATHS.training("{model}", "{seed}", "last"))
    wildcard_constraints:
        model=GIVEN,
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        network=lambda wildcards: PATHS.models_by_key[wildcards.model].network,
        images=images_of,
        image_size=lambda wildcards: PATHS.models_by_key[wildcards.model].data["image_size"],
        reads=lambda wildcards: network_sources(PATHS.models_by_key[wildcards.model].network),
    script:
        "../workflow_scripts/load_pretrained.py"
