# Reads two networks' activation stores whose samples are the same for all layers.
# Makes the match path of every layer of one with every layer of the other.


rule heat_map:
    """Match every layer of one network with every layer of another."""
    input:
        a=LAYOUT.places("{a}"),
        b=LAYOUT.places("{b}"),
        code=code("heat_map"),
    output:
        paths=LAYOUT.heat_map("{a}", "{b}"),
    log:
        LAYOUT.log(LAYOUT.heat_map("{a}", "{b}")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.heat_map("{a}", "{b}"))
    threads: config["threads"]
    resources:
        mem_mb=heat_map_mb,
        runtime=minutes(60),
        gpu=GPU,
    params:
        chunk_samples=config["matching"]["chunk_samples"],
        digest=LAYOUT.heat_map_digest,
    script:
        "../workflow_scripts/heat_map.py"
