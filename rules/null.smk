# Reads two networks' activation stores and the moments of a group of layers.
# Makes the layers' match paths with network B's images permuted: what chance would give.


rule null:
    """Match some layers of two networks that see different images."""
    input:
        a=standing(PATHS.activations("{a}")),
        b=standing(PATHS.activations("{b}")),
        moments=standing(PATHS.match("{a}", "{b}", "{group}", "moments.npz")),
    output:
        null=update(PATHS.null("{a}", "{b}", "{group}")),
        provenance=update(PATHS.record(PATHS.null("{a}", "{b}", "{group}"))),
    log:
        PATHS.log(PATHS.null("{a}", "{b}", "{group}")),
    benchmark:
        PATHS.benchmark(PATHS.null("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=null_mb,
        runtime=minutes(20, null_work),
        gpu=GPU,
    params:
        layers=group_of,
        chance=config["chance"],
        digest=PATHS.null_digest,
    script:
        "../workflow_scripts/null.py"
