# Reads two networks' activation stores.
# Makes, for each layer of a group and each draw of positions, the second moments of both sides and
# the match path: every epsilon at once.


rule match:
    """Match some layers of two networks."""
    input:
        a=standing(PATHS.activations("{a}")),
        b=standing(PATHS.activations("{b}")),
    output:
        moments=update(PATHS.match("{a}", "{b}", "{group}", "moments.npz")),
        path=update(PATHS.match("{a}", "{b}", "{group}", "path.npz")),
        provenance=update(PATHS.record(PATHS.match("{a}", "{b}", "{group}", "match"))),
    log:
        PATHS.log(PATHS.match("{a}", "{b}", "{group}", "match")),
    benchmark:
        PATHS.benchmark(PATHS.match("{a}", "{b}", "{group}", "match"))
    threads: config["threads"]
    resources:
        mem_mb=match_mb,
        runtime=minutes(20, match_work),
        gpu=GPU,
    params:
        layers=group_of,
        chunk_samples=config["matching"]["chunk_samples"],
        digest=PATHS.matching_digest,
    script:
        "../workflow_scripts/match.py"
