# Reads the match paths of a group of layers and their moments.
# Makes the minimal match of every neuron in the layers' maximum matches, at one epsilon.


rule minimal_match:
    """Find the finest units of some layers' matches."""
    input:
        path=standing(matched("path.npz")),
        moments=standing(matched("moments.npz")),
    output:
        minimal=update(PATHS.minimal("{a}", "{b}", "{group}", "{epsilon}")),
        provenance=update(PATHS.record(PATHS.minimal("{a}", "{b}", "{group}", "{epsilon}"))),
    log:
        PATHS.log(PATHS.minimal("{a}", "{b}", "{group}", "{epsilon}")),
    benchmark:
        PATHS.benchmark(PATHS.minimal("{a}", "{b}", "{group}", "{epsilon}"))
    threads: config["threads"]
    resources:
        mem_mb=minimal_match_mb,
        runtime=minutes(20, minimal_match_work),
    params:
        layers=lambda wildcards: minimal_group_of(wildcards)[1],
        epsilon=lambda wildcards: float(wildcards.epsilon),
    script:
        "../workflow_scripts/minimal_match.py"
