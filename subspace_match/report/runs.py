"""Read the folder of a finished run for the page."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..experiment.config import Config
from ..experiment.user_files import AREA, content_digest, data_source
from ..networks.pictures import Pictures, pictures_of
from ..results.registry import read_networks
from ..storage.files import Record, damaged, read_record
from ..storage.job_records import Records, check

NEEDED = ("similarity", "summary", "neurons")
# Columns that tables of older versions lack.
_NEW_COLUMNS = {"summary": "consensus", "neurons": "cross_fitted_critical_epsilon"}
# Sizes of minimal matches and their members: one is useless without the other.
TOGETHER = ("minimal_matches", "minimal_match_members")
OPTIONAL = (
    *TOGETHER,
    *("null", "measures", "heat_map", "top_images", "left_out", "universality", "network_matrix"),
)


@dataclass(frozen=True)
class Images:
    """The images on which networks were compared.

    Attributes:
        labels: (images,) int64, their classes.
        pictures: returns the images of some indices, (indices, channels, height, width) uint8.
    """

    labels: np.ndarray
    pictures: Pictures


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: of its folder, which contains its digest.
        config: the complete configuration.
        tables: by name; one that the run did not write is missing, or has no rows.
        images: None if they are not available.
        record: provenance of the job that wrote the tables; None if there is none.
    """

    name: str
    config: Config
    tables: dict[str, pd.DataFrame]
    images: Images | None = None
    record: Record | None = None

    def has(self, table: str) -> bool:
        """Return whether the run has data in a table."""
        return table in self.tables and not self.tables[table].empty


def read_run(folder: str | Path) -> Run:
    """Read the folder of an experiment, ``results/experiments/NAME``.

    Args:
        folder: with ``config.json`` and ``tables``. The images are read from ``results/data``; if
            they are missing there, the page shows none.

    Raises:
        ValueError: if the folder does not contain a finished run, a file is damaged, or an older
            version made the tables.

    Warns:
        UserWarning: if the images stayed in files that are gone or have changed since; the page
            then shows none.
    """
    folder = Path(folder).resolve()
    _check_files(folder)
    records = Records()
    job = records.find(folder / "config.json")
    if job is not None:
        for file in filter(Path.exists, job.outputs):
            check(file, job)
    tables = {name: _table(folder / "tables" / f"{name}.parquet") for name in NEEDED + OPTIONAL}
    _check_columns(tables, folder)
    tables["networks"] = read_networks(folder / "tables" / "networks.csv")
    config = read_record(folder / "config.json")
    inputs = [] if job is None or tables["top_images"].empty else job.record["inputs"]
    images = _images_file(inputs, folder.parents[1])
    if images is not None and (made := records.find(images)) is not None:
        check(images, made)
    return Run(
        folder.name,
        config,
        tables,
        None if images is None else _images(images, config["data"]),
        None if job is None else job.record,
    )


def _check_files(folder: Path) -> None:
    needed = ["config.json", "tables/networks.csv", *(f"tables/{n}.parquet" for n in NEEDED)]
    missing = [name for name in needed if not (folder / name).exists()]
    if missing:
        raise ValueError(
            f"{folder}: expected the folder of a finished run, such as results/experiments/NAME;"
            f" found no {', '.join(missing)}; name such a folder, or let snakemake finish the run"
        )
    found = [name for name in TOGETHER if (folder / "tables" / f"{name}.parquet").exists()]
    if len(found) == 1:
        (lost,) = set(TOGETHER) - set(found)
        raise ValueError(
            f"{folder / 'tables'}: expected both or neither of {' and '.join(TOGETHER)}, found no"
            f" {lost}.parquet; remove {found[0]}.parquet too, or let snakemake write both again"
        )


def _check_columns(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    for name, column in _NEW_COLUMNS.items():
        if column not in tables[name]:
            raise ValueError(
                f"{folder / 'tables' / name}.parquet: expected a column {column}, found none, as in"
                " tables of older versions; let snakemake make the tables again"
            )


def _images_file(inputs: Sequence[str], results: Path) -> Path | None:
    """Find the prepared images that the tables refer to, if they still exist."""
    files = (results / name for name in inputs if Path(name).name == "images.safetensors")
    return next((file for file in files if file.exists()), None)


def _table(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame()
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def _images(path: Path, section: Mapping[str, Any]) -> Images | None:
    from ..data.prepared import FileSplit, load

    data = load(path, section["root"])
    if isinstance(data.test, FileSplit) and not _are_as_prepared(path, section):
        warnings.warn(
            f"data.root: expected the image files of {section['name']} in {section['root']} as they"
            " were when the data was prepared, found none or others, so the page shows no images;"
            " bring the files back and make it again",
            stacklevel=3,
        )
        return None
    pictures, labels = pictures_of(data), data.test.labels
    return None if pictures is None or labels is None else Images(labels, pictures)


def _are_as_prepared(path: Path, section: Mapping[str, Any]) -> bool:
    """Return whether image files are those from which the data set at ``path`` was prepared."""
    results, (source, *_) = path.parents[2], data_source(section)
    try:
        known = read_record(path.with_name("data.json"))["content"]
        return bool(content_digest(source, results / AREA) == known)
    except (OSError, KeyError):
        return False
