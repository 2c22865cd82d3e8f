# Reads every match path of the experiment with its certificates, other measures, null and minimal
# matches, the consensus matches, the heat maps, the pairs of layers within networks, the top images,
# and the records of the networks, whose checksums it compares.
# Makes the tidy tables (Parquet, and CSV for people), metrics.json and config.json.


rule aggregate:
    """Gather all layers, pairs and epsilons into tables."""
    input:
        matches=any_age(PLAN.of_groups(PLAN.paths.match, "path.npz")),
        certificates=any_age(PLAN.of_groups(PLAN.paths.certificates)),
        measures=any_age(PLAN.of_groups(PLAN.paths.measures)),
        minimal=any_age(PLAN.minimal_matches),
        nulls=any_age(PLAN.nulls),
        consensus=any_age(PLAN.consensus),
        heat_maps=any_age(PLAN.heat_maps),
        within_networks=any_age(PLAN.within_networks),
        top_images=any_age([PLAN.paths.top_images(key) for key in PLAN.paths.networks]),
        # The table of top images refers to these.
        images=any_age(PLAN.paths.data("images.safetensors")),
        records=any_age([PLAN.paths.network(n, ".json") for n in PLAN.paths.networks.values()]),
    output:
        **{name: update(table) for name, table in PLAN.tables.items()},
        provenance=update(PLAN.paths.record(PLAN.paths.experiment("aggregate"))),
    log:
        PLAN.paths.log(PLAN.paths.experiment("aggregate")),
    benchmark:
        PLAN.paths.benchmark(PLAN.paths.experiment("aggregate"))
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        epsilons=sorted(config["matching"]["epsilons"]),
        networks=PLAN.networks,
        pairs=PLAN.pairs,
        together=list(PLAN.together.values()),
        top_images_digest=PLAN.paths.top_images_digest,
        matching_digest=PLAN.paths.matching_digest,
        certificate_digest=PLAN.paths.certificate_digest,
        null_digest=PLAN.paths.null_digest,
        consensus_digest=PLAN.paths.consensus_digest,
        heat_map_digest=PLAN.paths.heat_map_digest,
        within_network_digest=PLAN.paths.within_network_digest,
    script:
        "../workflow_scripts/aggregate.py"
