"""Files of a data set -> one file with images (or their file names), labels and the split."""

from typing import Any

from subspace_match.workflow.job import log, run


def prepare_data(snakemake: Any) -> None:
    from subspace_match.data.prepare import prepare
    from subspace_match.data.prepared import save
    from subspace_match.storage.files import sha256, write_record
    from subspace_match.workflow.invocation import planned_origins

    settings = snakemake.params.data
    data = prepare(**settings | snakemake.params.locations)
    data.about["digest"] = snakemake.wildcards.data
    save(snakemake.output.images, data)
    contents = [planned_origins().contents[source] for source in snakemake.params.reads]
    record = data.about | {
        "settings": settings,
        "content": contents[0] if contents else None,
        "sha256": sha256(snakemake.output.images),
    }
    write_record(snakemake.output.record, record)
    kind = "images" if data.about["mean"] else "windows of text"
    log.info("%d training and %d test %s", len(data.train), len(data.test), kind)
    if short := data.about.get("short_files"):
        log.info("%d of %d files are shorter than a window", short, data.about["files"])


run(prepare_data, snakemake, threads=1)  # type: ignore[name-defined]
