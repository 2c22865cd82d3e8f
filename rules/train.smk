# Reads the prepared data sets.
# Makes networks, each with a record: initial ones, then trained ones at several stages with the
# history of their training; or takes over weights that are given.


rule initialise:
    """Draw one network's initial weights from its seed."""
    input:
        data=lambda wildcards: LAYOUT.data("data.json", data_of(wildcards)),
        own_code=lambda wildcards: own_code(wildcards.model),
        code=code("initialise"),
    output:
        network=LAYOUT.training("{model}", "{seed}", "initial.safetensors"),
        record=LAYOUT.training("{model}", "{seed}", "initial.json"),
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
    script:
        "../workflow_scripts/initialise.py"


rule train:
    """Train one network from a seed; a killed training resumes at its last epoch."""
    input:
        start=lambda wildcards: LAYOUT.start(wildcards.model, int(wildcards.seed)),
        images=lambda wildcards: LAYOUT.data("images.safetensors", data_of(wildcards)),
        own_code=lambda wildcards: own_code(wildcards.model),
        code=code("train"),
    output:
        networks=[LAYOUT.training("{model}", "{seed}", f"{s}.safetensors") for s in STAGES],
        records=[LAYOUT.training("{model}", "{seed}", f"{s}.json") for s in STAGES],
        history=LAYOUT.training("{model}", "{seed}", "history.csv"),
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
    script:
        "../workflow_scripts/train.py"


rule take_weights:
    """Take over a network whose weights are given."""
    input:
        own_code=lambda wildcards: own_code(wildcards.model),
        weights=weights_file,
        code=code("take_weights"),
    output:
        network=LAYOUT.training("{model}", "{seed}", "last.safetensors"),
        record=LAYOUT.training("{model}", "{seed}", "last.json"),
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
    script:
        "../workflow_scripts/take_weights.py"
