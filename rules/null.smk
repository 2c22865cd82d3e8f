# Reads the activation stores of two networks and the moments of a group of layers.
# Makes the null distributions: match paths with the images of network B permuted, any and within
# classes. Makes match paths of halves of the images, for intervals.


rule null:
    """Match some layers with the images of one network permuted, and on halves of the images."""
    input:
        a=any_age(PLAN.paths.activations("{a}")),
        b=any_age(PLAN.paths.activations("{b}")),
        moments=any_age(PLAN.match_file("moments.npz")),
    output:
        null=update(PLAN.paths.null("{a}", "{b}", "{group}")),
        provenance=update(PLAN.paths.record(PLAN.paths.null("{a}", "{b}", "{group}"))),
    log:
        PLAN.paths.log(PLAN.paths.null("{a}", "{b}", "{group}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.null("{a}", "{b}", "{group}"))
    # These take longest, so that shorter jobs fill the cores at the end.
    priority: 1
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.null_mb,
        runtime=RESOURCES.minutes(20, RESOURCES.null_work),
        gpu=RESOURCES.gpu,
    params:
        layers=PLAN.group,
        chance=config["chance"],
        digest=PLAN.paths.null_digest,
    script:
        "../workflow_scripts/null.py"
