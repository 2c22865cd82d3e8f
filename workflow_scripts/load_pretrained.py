"""Pretrained weights -> a checkpoint like those of networks that the workflow trains."""

from typing import Any

from subspace_match.workflow.job import log, run


def load_pretrained(snakemake: Any) -> None:
    from subspace_match.networks import pretrained
    from subspace_match.networks.architectures import architecture_of
    from subspace_match.networks.checkpoints import save_network, write_network_record
    from subspace_match.networks.preprocessing import configured_preprocessing
    from subspace_match.networks.source_names import revision_of

    settings = snakemake.params.network
    architecture = architecture_of(settings, **snakemake.params.images)
    preprocessing = configured_preprocessing(settings, snakemake.params.image_size)
    loaded = pretrained.load_pretrained(architecture, settings["weights"], preprocessing)
    revision = revision_of(settings["name"], settings["weights"])
    log.info("%s, revision of the weights: %s", loaded.preprocessing, revision or "none")
    save_network(
        snakemake.output.network, loaded.network, loaded.architecture, loaded.preprocessing
    )
    write_network_record(
        snakemake.output.record,
        snakemake.output.network,
        digest=snakemake.wildcards.model,
        seed=int(snakemake.wildcards.seed),
        stage="last",
        architecture=loaded.architecture,
        weights=settings["weights"],
        revision=revision,
    )


run(load_pretrained, snakemake, threads=1)  # type: ignore[name-defined]
