# Reads every match path of the experiment with its certificates, other measures and null, minimal
# matches, heat maps, and the networks' records, whose checkpoints it compares.
# Makes the tidy tables (Parquet, and CSV for people) and metrics.json.


rule aggregate:
    """Gather all layers, pairs and epsilons into tables."""
    input:
        matches=standing(by_group(lambda *key: PATHS.match(*key, "path.npz"), GROUPS)),
        certificates=standing(by_group(PATHS.certificates, GROUPS)),
        measures=standing(by_group(PATHS.measures, GROUPS)),
        minimal=standing(
            [
                PATHS.minimal(*pair, group, epsilon)
                for pair, groups in MINIMAL_GROUPS.items()
                for group in groups
                for epsilon in config["minimal_matches"]["epsilons"]
            ]
        ),
        nulls=standing(by_group(PATHS.null, GROUPS) if config["chance"]["permutations"] else []),
        heat_maps=standing(
            [PATHS.heat_map(*pair) for pair in LAYERS] if config["heat_map"]["places"] else []
        ),
        top_images=standing([PATHS.top_images(network) for network in PATHS.networks]),
        # Of which the tables of top images tell.
        images=standing(PATHS.data("images.safetensors")),
        records=standing([PATHS.network(network, ".json") for network in PATHS.networks.values()]),
    output:
        **{name: update(table) for name, table in TABLES.items()},
        provenance=update(PATHS.record(PATHS.experiment("aggregate"))),
    log:
        PATHS.log(PATHS.experiment("aggregate")),
    benchmark:
        PATHS.benchmark(PATHS.experiment("aggregate"))
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        epsilons=sorted(config["matching"]["epsilons"]),
        networks={key: asdict(network) for key, network in PATHS.networks.items()},
        pairs=PAIRS,
        top_images_digest=PATHS.top_images_digest,
        matching_digest=PATHS.matching_digest,
        certificate_digest=PATHS.certificate_digest,
        null_digest=PATHS.null_digest,
        heat_map_digest=PATHS.heat_map_digest,
    script:
        "../workflow_scripts/aggregate.py"
