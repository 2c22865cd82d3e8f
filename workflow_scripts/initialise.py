"""Architecture + seed + training data -> an untrained network and its preprocessing."""

from typing import Any

from subspace_match.workflow.job import run


def initialise(snakemake: Any) -> None:
    from subspace_match.networks.architectures import (
        architecture_of,
        build_initialised,
        self_contained,
    )
    from subspace_match.networks.checkpoints import save_network, write_network_record
    from subspace_match.networks.preprocessing import trained_preprocessing
    from subspace_match.storage.files import read_record

    about, seed = read_record(snakemake.input.data), int(snakemake.wildcards.seed)
    architecture = self_contained(
        architecture_of(
            snakemake.params.network, channels=len(about["mean"]), classes=about["classes"]
        )
    )
    network = build_initialised(architecture, seed)
    save_network(snakemake.output.network, network, architecture, trained_preprocessing(about))
    write_network_record(
        snakemake.output.record,
        snakemake.output.network,
        digest=snakemake.wildcards.model,
        seed=seed,
        stage="initial",
        architecture=architecture,
    )


run(initialise, snakemake, threads=1)  # type: ignore[name-defined]
