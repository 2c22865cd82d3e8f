# Reads the activation stores of two networks.
# Makes the second moments and the match path, which holds every epsilon, of each layer of a group and
# each draw of positions.


rule match:
    """Match some layers of two networks."""
    input:
        a=any_age(PLAN.paths.activations("{a}")),
        b=any_age(PLAN.paths.activations("{b}")),
    output:
        moments=update(PLAN.paths.match("{a}", "{b}", "{group}", "moments.npz")),
        path=update(PLAN.paths.match("{a}", "{b}", "{group}", "path.npz")),
        provenance=update(PLAN.paths.record(PLAN.paths.match("{a}", "{b}", "{group}", "match"))),
    log:
        PLAN.paths.log(PLAN.paths.match("{a}", "{b}", "{group}", "match")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.match("{a}", "{b}", "{group}", "match"))
    # The nulls, which take longest, wait for it.
    priority: 1
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.match_mb,
        runtime=RESOURCES.minutes(20, RESOURCES.match_work),
        gpu=RESOURCES.gpu,
    params:
        layers=PLAN.group,
        chunk_samples=config["matching"]["chunk_samples"],
        digest=PLAN.paths.matching_digest,
    script:
        "../workflow_scripts/match.py"
