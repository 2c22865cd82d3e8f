# Reads the match paths of a group of layers and their moments.
# Makes the certificates of the maximum matches at every epsilon of the grid.


rule certify:
    """Prove some layers' maximum matches again, from fresh factorisations."""
    input:
        path=standing(PATHS.match("{a}", "{b}", "{group}", "path.npz")),
        moments=standing(PATHS.match("{a}", "{b}", "{group}", "moments.npz")),
    output:
        certificates=update(PATHS.certificates("{a}", "{b}", "{group}")),
        provenance=update(PATHS.record(PATHS.certificates("{a}", "{b}", "{group}"))),
    log:
        PATHS.log(PATHS.certificates("{a}", "{b}", "{group}")),
    benchmark:
        PATHS.benchmark(PATHS.certificates("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=one_layer_mb,
        runtime=minutes(20, certify_work),
        gpu=GPU,
    params:
        epsilons=sorted(config["matching"]["epsilons"]),
        digest=PATHS.certificate_digest,
    script:
        "../workflow_scripts/certify.py"
