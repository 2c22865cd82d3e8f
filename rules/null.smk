# Reads two networks' activation stores and the layer's moments.
# Makes the layer's match paths with network B's images permuted: what chance would give.


rule null:
    """Match one layer of two networks that see different images."""
    input:
        a=LAYOUT.activations("{seed_a}"),
        b=LAYOUT.activations("{seed_b}"),
        moments=LAYOUT.match("{seed_a}", "{seed_b}", "{layer}", "moments.npz"),
        code=code("null"),
    output:
        null=LAYOUT.null("{seed_a}", "{seed_b}", "{layer}"),
    log:
        LAYOUT.log(LAYOUT.null("{seed_a}", "{seed_b}", "{layer}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.null("{seed_a}", "{seed_b}", "{layer}"))
    threads: config["threads"]
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        chance=config["chance"],
        digest=LAYOUT.null_digest,
    script:
        "../workflow_scripts/null.py"
