# Reads two networks' activation stores and the layer's moments.
# Makes the layer's match paths with network B's images permuted: what chance would give.


rule null:
    """Match one layer of two networks that see different images."""
    input:
        a=LAYOUT.activations("{a}"),
        b=LAYOUT.activations("{b}"),
        moments=LAYOUT.match("{a}", "{b}", "{layer}", "moments.npz"),
        code=code("null"),
    output:
        null=LAYOUT.null("{a}", "{b}", "{layer}"),
    log:
        LAYOUT.log(LAYOUT.null("{a}", "{b}", "{layer}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.null("{a}", "{b}", "{layer}"))
    threads: config["threads"]
    resources:
        mem_mb=null_mb,
        runtime=minutes(60),
        gpu=GPU,
    params:
        chance=config["chance"],
        digest=LAYOUT.null_digest,
    script:
        "../workflow_scripts/null.py"
