# Reads two networks' activation stores whose samples are the same for all layers.
# Makes the match path of every layer of one with every layer of the other.


rule heat_map:
    """Match every layer of one network with every layer of another."""
    input:
        a=standing(PATHS.places("{a}")),
        b=standing(PATHS.places("{b}")),
    output:
        paths=update(PATHS.heat_map("{a}", "{b}")),
        provenance=update(PATHS.record(PATHS.heat_map("{a}", "{b}"))),
    log:
        PATHS.log(PATHS.heat_map("{a}", "{b}")),
    benchmark:
        PATHS.benchmark(PATHS.heat_map("{a}", "{b}"))
    threads: config["threads"]
    resources:
        mem_mb=heat_map_mb,
        runtime=minutes(60),
        gpu=GPU,
    params:
        chunk_samples=config["matching"]["chunk_samples"],
        digest=PATHS.heat_map_digest,
    script:
        "../workflow_scripts/heat_map.py"
