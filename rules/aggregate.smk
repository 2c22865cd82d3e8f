# Reads every match path of the experiment with its moments and its null, and the networks' records,
# whose checkpoints it compares.
# Makes the tidy tables (Parquet, and CSV for people) and metrics.json.


rule aggregate:
    """Gather all layers, pairs and epsilons into tables."""
    input:
        matches=[
            LAYOUT.match(seed_a, seed_b, layer, "path.npz")
            for seed_a, seed_b in LAYOUT.pairs
            for layer in LAYERS
        ],
        moments=[
            LAYOUT.match(seed_a, seed_b, layer, "moments.npz")
            for seed_a, seed_b in LAYOUT.pairs
            for layer in LAYERS
        ],
        minimal=[
            LAYOUT.minimal(seed_a, seed_b, layer, epsilon)
            for seed_a, seed_b in LAYOUT.pairs
            for layer in MINIMAL_LAYERS
            for epsilon in config["minimal_matches"]["epsilons"]
        ],
        nulls=[
            LAYOUT.null(seed_a, seed_b, layer)
            for seed_a, seed_b in LAYOUT.pairs
            for layer in LAYERS
            if config["chance"]["permutations"]
        ],
        networks=[LAYOUT.network(seed, "network.json") for seed in sorted(config["seeds"])],
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
        matching_digest=LAYOUT.matching_digest,
        null_digest=LAYOUT.null_digest,
    script:
        "../workflow_scripts/aggregate.py"
