# Reads the match paths and the moments of a group of layers.
# Makes the minimal match of every neuron of the maximum matches, at one epsilon. A job that is ended
# before it is complete goes on from a file that it writes once a minute.


rule minimal_match:
    """Find a minimal match of each neuron of some layers."""
    input:
        path=any_age(PLAN.match_file("path.npz")),
        moments=any_age(PLAN.match_file("moments.npz")),
    output:
        minimal=update(PLAN.paths.minimal("{a}", "{b}", "{group}", "{epsilon}")),
        provenance=update(
            PLAN.paths.record(PLAN.paths.minimal("{a}", "{b}", "{group}", "{epsilon}"))
        ),
    log:
        PLAN.paths.log(PLAN.paths.minimal("{a}", "{b}", "{group}", "{epsilon}")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.minimal("{a}", "{b}", "{group}", "{epsilon}"))
    # It takes long, so that shorter jobs fill the cores at the end.
    priority: 1
    threads: config["threads"]
    resources:
        mem_mb=RESOURCES.minimal_match_mb,
        runtime=RESOURCES.minutes(20, RESOURCES.minimal_match_work),
    params:
        layers=PLAN.group,
        epsilon=lambda wildcards: float(wildcards.epsilon),
        orders=config["minimal_matches"]["orders"],
    script:
        "../workflow_scripts/minimal_match.py"
