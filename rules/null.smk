# Reads two networks' activation stores and the moments of a group of layers.
# Makes the layers' match paths with network B's images permuted: what chance would give.


rule null:
    """Match some layers of two networks that see different images."""
    input:
        a=LAYOUT.activations("{a}"),
        b=LAYOUT.activations("{b}"),
        moments=LAYOUT.match("{a}", "{b}", "{group}", "moments.npz"),
        code=code("null"),
    output:
        null=LAYOUT.null("{a}", "{b}", "{group}"),
    log:
        LAYOUT.log(LAYOUT.null("{a}", "{b}", "{group}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.null("{a}", "{b}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        layers=group_of,
        chance=config["chance"],
        digest=LAYOUT.null_digest,
    script:
        "../workflow_scripts/null.py"
