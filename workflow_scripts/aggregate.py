"""Every layer's match path -> tidy tables and metrics."""

from typing import Any

from subspace_match.jobs import log, run


def aggregate(snakemake: Any) -> None:
    from subspace_match.artefacts import read_record, write_record, write_table
    from subspace_match.matches import LayerMatch, check_origin
    from subspace_match.tables import (
        FEW_SAMPLES,
        metrics,
        neuron_table,
        similarity_table,
    )

    networks = [read_record(path) for path in snakemake.input.networks]
    checkpoints = {network["seed"]: network["sha256"] for network in networks}
    matches = [LayerMatch.load(path) for path in snakemake.input.matches]
    for match, path in zip(matches, snakemake.input.matches, strict=True):
        check_origin(match, path, snakemake.params.matching_digest, checkpoints)

    similarity = similarity_table(matches, snakemake.params.epsilons)
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
    accuracies = {network["seed"]: network["test_accuracy"] for network in networks}
    write_record(snakemake.output.metrics, metrics(similarity, accuracies))
    write_record(snakemake.output.config, snakemake.config)


run(aggregate, snakemake)  # type: ignore[name-defined]
