# Reads two networks' activation stores and the moments of a group of layers.
# Makes the layers' match paths with network B's images permuted: what chance would give.


rule null:
    """Match some layers of two networks that see different images."""
    input:
        a=standing(LAYOUT.activations("{a}")),
        b=standing(LAYOUT.activations("{b}")),
        moments=standing(LAYOUT.match("{a}", "{b}", "{group}", "moments.npz")),
    output:
        null=update(LAYOUT.null("{a}", "{b}", "{group}")),
        provenance=update(LAYOUT.record(LAYOUT.null("{a}", "{b}", "{group}"))),
    log:
        LAYOUT.log(LAYOUT.null("{a}", "{b}", "{group}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.null("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=null_mb,
        runtime=minutes(20, null_work),
        gpu=GPU,
    params:
        layers=group_of,
        chance=config["chance"],
        digest=LAYOUT.null_digest,
    script:
        "../workflow_scripts/null.py"
