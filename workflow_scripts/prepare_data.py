"""Files of a data set -> one file with images (or their file names), labels and the split."""

from typing import Any

from subspace_match.workflow.job import log, run


def prepare_data(snakemake: Any) -> None:
    from subspace_match.data.prepare import prepare
    from subspace_match.data.prepared import save
    from subspace_match.storage.files import sha256, write_record
    from subspace_match.workflow.invocation import planned_origins

    settings = snakemake.params.data
    data = prepare(**settings, root=snakemake.params.root)
    data.about["digest"] = snakemake.wildcards.data
    save(snakemake.output.images, data)
    contents = [planned_origins().contents[source] for source in snakemake.params.reads]
    record = data.about | {
        "settings": settings,
        "content": contents[0] if contents else None,
        "sha256": sha256(snakemake.output.images),
    }
    write_record(snakemake.output.record, record)
    log.info("%d training and %d test images", len(data.train.labels), len(data.test.labels))


run(prepare_data, snakemake, threads=1)  # type: ignore[name-defined]
