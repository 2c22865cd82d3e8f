"""Every layer's match path -> tidy tables and metrics."""

from typing import Any

from subspace_match.jobs import log, run


def aggregate(snakemake: Any) -> None:
    import numpy as np

    import subspace_match as sm
    from subspace_match.artefacts import read_arrays, read_record, write_record, write_table
    from subspace_match.matches import LayerMatch, check_origin, load_minimal_matches, load_moments
    from subspace_match.tables import (
        FEW_SAMPLES,
        measure_table,
        metrics,
        minimal_match_table,
        neuron_table,
        null_table,
        similarity_table,
    )

    networks = [read_record(path) for path in snakemake.input.networks]
    checkpoints = {network["seed"]: network["sha256"] for network in networks}
    matches = [LayerMatch.load(path) for path in snakemake.input.matches]
    for match, path in zip(matches, snakemake.input.matches, strict=True):
        check_origin(match.about, path, snakemake.params.matching_digest, checkpoints)
    nulls: list[np.ndarray | None] = [None] * len(matches)
    for place, path in enumerate(snakemake.input.nulls):
        arrays, about = read_arrays(path)
        check_origin(about, path, snakemake.params.null_digest, checkpoints)
        nulls[place] = arrays["critical_epsilon"]

    certificates, measures = [], []
    for match, path in zip(matches, snakemake.input.moments, strict=True):
        pair, rows, about = load_moments(path)
        check_origin(about, path, snakemake.params.matching_digest, checkpoints)
        found = sm.MatchPath(*match.critical_epsilon, match.removal_order, pair)
        certificates.append(found.verify(snakemake.params.epsilons))
        measures.append(sm.all_measures(pair, rows))

    similarity = similarity_table(matches, nulls, certificates)
    for row in similarity[~(similarity["verified"] & similarity["certain"])].itertuples():
        log.warning(
            "%s at epsilon %g: %s",
            *(row.layer, row.epsilon),
            f"a decision is only {row.margin:.1e} from the other outcome, which rounding could turn"
            if not row.certain
            else "the match is not proved by a fresh factorisation; please report this",
        )
    few = similarity[similarity["few_samples"]].drop_duplicates("layer")
    for row in few.itertuples():
        log.warning(
            "%s has %.2f neurons a sample (%d samples); above %g some of the match is chance",
            *(row.layer, row.neurons_per_sample, row.samples, FEW_SAMPLES),
        )
    write_table(similarity, snakemake.output.similarity_parquet)
    write_table(similarity, snakemake.output.similarity_csv)
    neurons = neuron_table(matches)
    write_table(neurons, snakemake.output.neurons_parquet)
    write_table(neurons, snakemake.output.neurons_csv)
    other = measure_table(matches, measures)
    write_table(other, snakemake.output.measures_parquet)
    write_table(other, snakemake.output.measures_csv)
    minimal = []
    for path in snakemake.input.minimal:
        found_minimal, about = load_minimal_matches(path)
        check_origin(about, path, snakemake.params.matching_digest, checkpoints)
        minimal.append((found_minimal, about))
    write_table(minimal_match_table(minimal), snakemake.output.minimal_matches_parquet)
    write_table(null_table(matches, nulls), snakemake.output.null_parquet)
    accuracies = {network["seed"]: network["test_accuracy"] for network in networks}
    write_record(snakemake.output.metrics, metrics(similarity, accuracies))
    write_record(snakemake.output.config, snakemake.config)


run(aggregate, snakemake)  # type: ignore[name-defined]
