# Reads two networks' activation stores.
# Makes, for each layer, the second moments of both sides and the match path: every epsilon at once.


rule match:
    """Match one layer of two networks."""
    input:
        a=LAYOUT.activations("{seed_a}"),
        b=LAYOUT.activations("{seed_b}"),
        code=code("match"),
    output:
        moments=LAYOUT.match("{seed_a}", "{seed_b}", "{layer}", "moments.npz"),
        path=LAYOUT.match("{seed_a}", "{seed_b}", "{layer}", "path.npz"),
    log:
        LAYOUT.log(LAYOUT.match("{seed_a}", "{seed_b}", "{layer}", "match")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.match("{seed_a}", "{seed_b}", "{layer}", "match"))
    threads: config["threads"]
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        chunk_samples=config["matching"]["chunk_samples"],
        digest=LAYOUT.matching_digest,
    script:
        "../workflow_scripts/match.py"
