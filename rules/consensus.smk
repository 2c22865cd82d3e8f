# Reads the activation stores of three or more networks, all compared with each other.
# Makes their consensus match, which holds every epsilon, of each layer of a group and each draw of
# positions.


rule consensus:
    """Match some layers of many networks in all pairs at once."""
    input:
        stores=any_age(PLAN.together_stores),
    output:
        consensus=update(PLAN.paths.consensus("{networks}", "{group}")),
        provenance=update(PLAN.paths.record(PLAN.paths.consensus("{networks}", "{group}"))),
    log:
        PLAN.paths.log(PLAN.paths.consensus("{networks}", "{group}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.consensus("{networks}", "{group}"))
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.consensus_mb,
        runtime=RESOURCES.minutes(20, RESOURCES.consensus_work),
        gpu=RESOURCES.gpu,
    params:
        layers=PLAN.together_group,
        chunk_samples=config["matching"]["chunk_samples"],
        digest=PLAN.paths.consensus_digest,
    script:
        "../workflow_scripts/consensus.py"
