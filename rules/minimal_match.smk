# Reads a layer's moments.
# Makes the minimal match of every neuron in its maximum match, at one epsilon.


rule minimal_match:
    """Find the finest units of one layer's match."""
    input:
        moments=LAYOUT.match("{a}", "{b}", "{layer}", "moments.npz"),
        code=code("minimal_match"),
    output:
        minimal=LAYOUT.minimal("{a}", "{b}", "{layer}", "{epsilon}"),
    log:
        LAYOUT.log(LAYOUT.minimal("{a}", "{b}", "{layer}", "{epsilon}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.minimal("{a}", "{b}", "{layer}", "{epsilon}"))
    threads: config["threads"]
    resources:
        mem_mb=minimal_match_mb,
        runtime=minutes(60),
        gpu=GPU,
    params:
        epsilon=lambda wildcards: float(wildcards.epsilon),
    script:
        "../workflow_scripts/minimal_match.py"
