"""Data set's own files -> one file of uint8 images, labels and the recorded split."""

from typing import Any

from subspace_match.jobs import log, run


def prepare_data(snakemake: Any) -> None:
    from subspace_match import datasets
    from subspace_match.artefacts import sha256, write_record

    settings = snakemake.params.data
    data = datasets.prepare(**settings, root=snakemake.config["data"]["root"])
    data.about["digest"] = snakemake.params.digest
    datasets.save(snakemake.output.images, data)
    record = data.about | {"settings": settings, "sha256": sha256(snakemake.output.images)}
    write_record(snakemake.output.record, record)
    log.info("%d training and %d test images", len(data.train.labels), len(data.test.labels))


run(prepare_data, snakemake)  # type: ignore[name-defined]
