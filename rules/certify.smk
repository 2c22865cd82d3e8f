# Reads the match paths and the moments of a group of layers.
# Makes a certificate of each maximum match, at every epsilon of the grid.


rule certify:
    """Verify the maximum matches of some layers with new factorisations."""
    input:
        path=any_age(PLAN.paths.match("{a}", "{b}", "{group}", "path.npz")),
        moments=any_age(PLAN.paths.match("{a}", "{b}", "{group}", "moments.npz")),
    output:
        certificates=update(PLAN.paths.certificates("{a}", "{b}", "{group}")),
        provenance=update(PLAN.paths.record(PLAN.paths.certificates("{a}", "{b}", "{group}"))),
    log:
        PLAN.paths.log(PLAN.paths.certificates("{a}", "{b}", "{group}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.certificates("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.one_layer_mb,
        runtime=RESOURCES.minutes(20, RESOURCES.certify_work),
        gpu=RESOURCES.gpu,
    params:
        epsilons=sorted(config["matching"]["epsilons"]),
        digest=PLAN.paths.certificate_digest,
    script:
        "../workflow_scripts/certify.py"
