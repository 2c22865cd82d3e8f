# Reads the prepared data sets.
# Makes networks, each with a record: untrained ones, trained ones at several stages with the history
# of their training, and those with pretrained weights.


rule initialise:
    """Draw the initial weights of one network from its seed, to compare it untrained."""
    input:
        data=any_age(PLAN.training_data_file("data.json")),
    output:
        network=update(PLAN.paths.training("{model}", "{seed}", "initial.safetensors")),
        record=update(PLAN.paths.training("{model}", "{seed}", "initial.json")),
        provenance=update(PLAN.paths.record(PLAN.paths.training("{model}", "{seed}", "initial"))),
    log:
        PLAN.paths.log(PLAN.paths.training("{model}", "{seed}", "initial")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.training("{model}", "{seed}", "initial"))
    wildcard_constraints:
        model=PLAN.models(PLAN.paths.initial_key),
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        network=PLAN.section("network"),
        reads=PLAN.module_sources,
    script:
        "../workflow_scripts/initialise.py"


rule train:
    """Train one network, from weights that its seed draws or from those of another network.

    A killed training resumes after its last epoch.
    """
    input:
        start=any_age(PLAN.start),
        images=any_age(PLAN.training_data_file("images.safetensors")),
    output:
        networks=[
            update(PLAN.paths.training("{model}", "{seed}", f"{stage}.safetensors"))
            for stage in PLAN.stages
        ],
        records=[
            update(PLAN.paths.training("{model}", "{seed}", f"{stage}.json"))
            for stage in PLAN.stages
        ],
        history=update(PLAN.paths.training("{model}", "{seed}", "history.csv")),
        provenance=update(PLAN.paths.record(PLAN.paths.training("{model}", "{seed}", "train"))),
    log:
        PLAN.paths.log(PLAN.paths.training("{model}", "{seed}", "train")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.training("{model}", "{seed}", "train"))
    wildcard_constraints:
        model=PLAN.models(PLAN.paths.model_key),
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.train_mb,
        runtime=RESOURCES.minutes(240),
        gpu=RESOURCES.gpu,
    params:
        data=PLAN.section("data"),
        network=PLAN.section("network"),
        training=PLAN.section("training"),
        epochs=PLAN.paths.kept_epochs,
        reads=PLAN.training_sources,
    script:
        "../workflow_scripts/train.py"


rule load_pretrained:
    """Load a network with pretrained weights."""
    output:
        network=update(PLAN.paths.training("{model}", "{seed}", "last.safetensors")),
        record=update(PLAN.paths.training("{model}", "{seed}", "last.json")),
        provenance=update(PLAN.paths.record(PLAN.paths.training("{model}", "{seed}", "last"))),
    log:
        PLAN.paths.log(PLAN.paths.training("{model}", "{seed}", "last")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.training("{model}", "{seed}", "last"))
    wildcard_constraints:
        model=PLAN.models(PLAN.paths.model_key, pretrained=True),
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        network=PLAN.section("network"),
        images=PLAN.image_shape,
        image_size=lambda wildcards: PLAN.model(wildcards).data["image_size"],
        revision=PLAN.revision,
        reads=PLAN.pretrained_sources,
    script:
        "../workflow_scripts/load_pretrained.py"
