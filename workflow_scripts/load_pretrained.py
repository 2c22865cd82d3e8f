"""Weights that are given -> a network as if it had been trained here."""

from typing import Any

from subspace_match.workflow.job import log, run


def load_pretrained(snakemake: Any) -> None:
    from subspace_match.networks.checkpoints import save_network
    from subspace_match.networks.preprocessing import stated
    from subspace_match.networks.pretrained import given
    from subspace_match.networks.records import write_network_record

    settings = snakemake.params.network
    preprocessing = stated(settings, snakemake.params.image_size)
    asked_for = {
        **{key: settings[key] for key in ("name", "width", "hidden")},
        **snakemake.params.images,
    }
    taken = given(asked_for, settings["weights"], preprocessing)
    log.info("%s", taken.preprocessing)
    save_network(snakemake.output.network, taken.network, taken.architecture, taken.preprocessing)
    write_network_record(
        snakemake.output.record,
        snakemake.output.network,
        digest=snakemake.wildcards.model,
        seed=int(snakemake.wildcards.seed),
        stage="last",
        architecture=taken.architecture,
        weights=settings["weights"],
    )


run(load_pretrained, snakemake, threads=1)  # type: ignore[name-defined]
