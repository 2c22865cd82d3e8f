"""The results of all jobs -> tidy tables and metrics."""

from typing import Any

from subspace_match.workflow.job import log, run


def aggregate(snakemake: Any) -> None:
    from subspace_match.results.gather import gather, warnings_of
    from subspace_match.results.registry import TABLES
    from subspace_match.results.tables import metrics
    from subspace_match.storage.files import write_record, write_table

    output = snakemake.output
    tables = gather(snakemake.input, snakemake.params)
    for warning in warnings_of(tables):
        log.warning("%s", warning)
    for name, formats in TABLES.items():
        for suffix in formats:
            write_table(tables[name], output[f"{name}_{suffix}"])
    write_record(output.metrics, metrics(tables["summary"], tables["networks"]))
    write_record(output.config, snakemake.config)


run(aggregate, snakemake, threads=1)  # type: ignore[name-defined]
