"""The subcommands for results of the pipeline: report, grounding, provenance and prune."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..extras import needs
from ..progress import Progress
from ..storage.outputs import check_file

if TYPE_CHECKING:
    from ..storage.job_records import Job

REPORT = """example:
  subspace-match report results/experiments/vgg11_bn-* --out comparison.html

The page needs no network. Every run of the pipeline writes its own page too.
"""

GROUNDING = """Prints one row per measure, of the layer nearest to the output. Larger is better.
separation     area under the curve of precision and recall: pairs of one model among all pairs
accuracy, disagreement   rank correlation of these with dissimilarity
monotonicity   how often layers nearer to each other are the more similar ones
In brackets is the range if any one seed is left out. The file has all layers and qualities.

example:
  subspace-match grounding results/experiments/vgg11_bn-fashion_mnist-*
"""

CHECK = """Run this in the project's folder. Prints the keys that differ from their defaults.
Snakemake reads the files of --configfile before it reads this project, and does not name the
line of a fault in their YAML. This does.

example:
  subspace-match check config/mine.yaml
"""

PROVENANCE = """The output names configuration, networks, versions, commit and command.

example:
  subspace-match provenance results/experiments/NAME/tables/similarity.csv
"""

PRUNE = """A result is current if a configuration and the present code name it. Run this in the
project's folder. Without --delete nothing is removed.

example:
  subspace-match prune --configfile config/mine.yaml
"""


def report(options: argparse.Namespace) -> None:
    """Write one page that shows several finished runs side by side, and say where it is."""
    with needs("workflow", "report"):
        from ..report import read_run, write_page

        check_file("--out", options.out)
        with Progress("runs", len(options.folders)) as progress:
            write_page(list(map(read_run, options.folders)), options.out, progress.update)
    sys.stdout.write(f"Page: {options.out} (open it in a browser)\n")


def grounding(options: argparse.Namespace) -> None:
    """Write the results of the grounding tests of several finished runs, and print an overview."""
    with needs("workflow", "grounding"):
        from ..results.grounding import grounding_table, overview
        from ..storage.files import write_table

        check_file("--out", options.out)
        table = grounding_table(options.folders)
        write_table(table, options.out)
        wide = overview(table)
        lines = [["measure", *wide.columns], ["---"] * (1 + len(wide.columns))]
        lines += [list(row) for row in wide.itertuples()]
        sys.stdout.writelines(f"| {' | '.join(cells)} |\n" for cells in lines)


def check(options: argparse.Namespace) -> None:
    """Print what a configuration changes, as YAML; raise a ValueError if it is wrong."""
    with needs("workflow", "check"):
        import yaml

        from ..experiment.config import differences, read_config, validated

        config = read_config([Path("config", "config.yaml"), *options.files])
        changed = differences(config, validated({}))
    names = " and ".join(map(str, options.files)) or "config/config.yaml"
    sys.stdout.write(f"# {names}: a valid configuration")
    sys.stdout.write("; what differs from the defaults:\n" if changed else " of defaults alone\n")
    if changed:
        sys.stdout.write(yaml.safe_dump(changed, sort_keys=False, allow_unicode=True, width=100))


def provenance(options: argparse.Namespace) -> None:
    """Print what made a result, as YAML.

    Raises:
        ValueError: if the file or its record is missing, or the file was changed since.
    """
    with needs("workflow", "provenance"):
        import yaml

        from ..storage.job_records import check

        file = options.file.absolute()
        job = _job_of(file)
        check(file, job)
        record = job.record
    checksums = record["weights_and_images"]
    networks, data = (
        {name: checksum for name, checksum in checksums.items() if name.startswith(area)}
        for area in ("networks/", "data/")
    )
    described = {
        "file": str(file),
        "made_by": {"rule": record["rule"]} | record["wildcards"],
        "differs_from_default": record["differs"],
        "seeds": dict(_seeds(record["config"])),
        "networks_sha256": networks,
        "data_sha256": data,
        **({"revisions": record["revisions"]} if record.get("revisions") else {}),
        "digests": record["digests"],
        "runs": record["runs"],
        "config": record["config"],
    }
    sys.stdout.write(yaml.safe_dump(described, sort_keys=False, allow_unicode=True, width=100))


def _job_of(file: Path) -> Job:
    """Return the job that made a file; raise a ValueError if none is known."""
    from ..storage.job_records import SUFFIX, Records

    if not file.exists():
        raise ValueError(f"{file}: expected a result of the pipeline, found no such file")
    if (job := Records().find(file)) is None:
        raise ValueError(
            f"{file}: expected a result of the pipeline, found no record of its job (*{SUFFIX}) in"
            " its folder or above; it is not such a result, or the record was not copied with it"
        )
    return job


def _seeds(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _seeds(value, f"{above}{key}.")
        elif key.endswith(("seed", "seeds")):
            yield f"{above}{key}", value


def prune(options: argparse.Namespace) -> None:
    """List or remove results that are no longer current."""
    with needs("workflow", "prune"):
        from ..workflow.prune import prune

        prune(Path(), options.configfile, delete=options.delete)
