# Reads two networks' activation stores.
# Makes, for each layer of a group and each draw of positions, the second moments of both sides and
# the match path: every epsilon at once.


rule match:
    """Match some layers of two networks."""
    input:
        a=LAYOUT.activations("{a}"),
        b=LAYOUT.activations("{b}"),
        code=code("match"),
    output:
        moments=LAYOUT.match("{a}", "{b}", "{group}", "moments.npz"),
        path=LAYOUT.match("{a}", "{b}", "{group}", "path.npz"),
    log:
        LAYOUT.log(LAYOUT.match("{a}", "{b}", "{group}", "match")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.match("{a}", "{b}", "{group}", "match"))
    threads: config["threads"]
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        layers=group_of,
        chunk_samples=config["matching"]["chunk_samples"],
        digest=LAYOUT.matching_digest,
    script:
        "../workflow_scripts/match.py"
