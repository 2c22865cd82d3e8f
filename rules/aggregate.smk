# Reads every match path of the experiment with its certificates, other measures and null, minimal
# matches, heat maps, and the networks' records, whose checkpoints it compares.
# Makes the tidy tables (Parquet, and CSV for people) and metrics.json.


rule aggregate:
    """Gather all layers, pairs and epsilons into tables."""
    input:
        matches=by_group(lambda *key: LAYOUT.match(*key, "path.npz"), GROUPS),
        certificates=by_group(LAYOUT.certificates, GROUPS),
        measures=by_group(LAYOUT.measures, GROUPS),
        minimal=[
            LAYOUT.minimal(*pair, group, epsilon)
            for pair, groups in MINIMAL_GROUPS.items()
            for group in groups
            for epsilon in config["minimal_matches"]["epsilons"]
        ],
        nulls=by_group(LAYOUT.null, GROUPS) if config["chance"]["permutations"] else [],
        heat_maps=[LAYOUT.heat_map(*pair) for pair in LAYERS if config["heat_map"]["places"]],
        top_images=[LAYOUT.top_images(network) for network in LAYOUT.networks],
        records=[LAYOUT.network(network, ".json") for network in LAYOUT.networks.values()],
        code=code("aggregate"),
    output:
        **TABLES,
    log:
        LAYOUT.log(LAYOUT.experiment("aggregate")),
    benchmark:
        LAYOUT.benchmark(LAYOUT.experiment("aggregate"))
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        epsilons=sorted(config["matching"]["epsilons"]),
        networks={key: asdict(network) for key, network in LAYOUT.networks.items()},
        pairs=PAIRS,
        recording_digest=LAYOUT.recording_digest,
        matching_digest=LAYOUT.matching_digest,
        certificate_digest=LAYOUT.certificate_digest,
        null_digest=LAYOUT.null_digest,
        heat_map_digest=LAYOUT.heat_map_digest,
    script:
        "../workflow_scripts/aggregate.py"
