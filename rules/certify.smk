# Reads the match paths of a group of layers and their moments.
# Makes the certificates of the maximum matches at every epsilon of the grid.


rule certify:
    """Prove some layers' maximum matches again, from fresh factorisations."""
    input:
        path=LAYOUT.match("{a}", "{b}", "{group}", "path.npz"),
        moments=LAYOUT.match("{a}", "{b}", "{group}", "moments.npz"),
        code=code("certify"),
    output:
        certificates=LAYOUT.certificates("{a}", "{b}", "{group}"),
    log:
        LAYOUT.log(LAYOUT.certificates("{a}", "{b}", "{group}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.certificates("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=one_layer_mb,
        runtime=minutes(20, certify_work),
        gpu=GPU,
    params:
        epsilons=sorted(config["matching"]["epsilons"]),
        digest=LAYOUT.certificate_digest,
    script:
        "../workflow_scripts/certify.py"
