# Reads the moments of a group of layers.
# Makes the minimal match of every neuron in the layers' maximum matches, at one epsilon.


rule minimal_match:
    """Find the finest units of some layers' matches."""
    input:
        moments=moments_of,
        code=code("minimal_match"),
    output:
        minimal=LAYOUT.minimal("{a}", "{b}", "{group}", "{epsilon}"),
    log:
        LAYOUT.log(LAYOUT.minimal("{a}", "{b}", "{group}", "{epsilon}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.minimal("{a}", "{b}", "{group}", "{epsilon}"))
    threads: config["threads"]
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        layers=lambda wildcards: minimal_group_of(wildcards)[1],
        epsilon=lambda wildcards: float(wildcards.epsilon),
    script:
        "../workflow_scripts/minimal_match.py"
