"""Data set's own files -> one file of uint8 images, labels and the recorded split."""

from typing import Any

from subspace_match.jobs import log, run


def prepare_data(snakemake: Any) -> None:
    from subspace_match import datasets
    from subspace_match.artefacts import sha256, write_record
    from subspace_match.whereabouts import whereabouts

    settings = snakemake.params.data
    root = whereabouts(snakemake.config, settings)["root"]
    data = datasets.prepare(**settings | {"root": root})
    data.about["digest"] = snakemake.wildcards.data
    datasets.save(snakemake.output.images, data)
    record = data.about | {"settings": settings, "sha256": sha256(snakemake.output.images)}
    write_record(snakemake.output.record, record)
    log.info("%d training and %d test images", len(data.train.labels), len(data.test.labels))


run(prepare_data, snakemake, threads=1)  # type: ignore[name-defined]
