"""What a finished run left in its folder, read for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..experiment.config import Config
from ..results.registry import read_networks
from ..storage.files import Record, damaged, read_record
from ..storage.job_records import Records, check

NEEDED = ("similarity", "neurons")
# Each goes with the other: sizes of minimal matches, and their members.
TOGETHER = ("minimal_matches", "minimal_match_members")
OPTIONAL = (
    "null",
    "minimal_matches",
    "minimal_match_members",
    "measures",
    "heat_map",
    "top_images",
    "left_out",
)


@dataclass(frozen=True)
class Images:
    """The images on which networks were compared.

    Attributes:
        labels: (images,) int64, the class of each.
        pictures: gives (places, channels, height, width) uint8 of some of them.
    """

    labels: np.ndarray
    pictures: Callable[[Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: of its folder, which carries the digest of what made it.
        config: complete.
        tables: by name; one that the run did not make has no rows and no columns.
        images: None where they are not to be had.
        record: of the job that made the tables (``provenance``); None if there is none.
    """

    name: str
    config: Config
    tables: dict[str, pd.DataFrame]
    images: Images | None = None
    record: Record | None = None

    def has(self, table: str) -> bool:
        """Whether the run made what a table would hold."""
        return not self.tables[table].empty


def read_run(folder: str | Path) -> Run:
    """Read the folder of an experiment, ``results/experiments/NAME``.

    Args:
        folder: with ``config.json`` and ``tables``. The images are looked for where the run has
            them, in ``results/data``; without them the report has none.

    Raises:
        ValueError: if the folder is not one of a finished run, or a file is damaged.
    """
    folder = Path(folder).resolve()
    needed = ["config.json", "tables/networks.csv", *(f"tables/{n}.parquet" for n in NEEDED)]
    missing = [name for name in needed if not (folder / name).exists()]
    if missing:
        raise ValueError(
            f"{folder}: expected the folder of a finished run, as results/experiments/NAME is;"
            f" found no {', '.join(missing)}; name such a folder, or let snakemake finish the run"
        )
    there = [name for name in TOGETHER if (folder / "tables" / f"{name}.parquet").exists()]
    if len(there) == 1:
        (lost,) = set(TOGETHER) - set(there)
        raise ValueError(
            f"{folder / 'tables'}: expected {' and '.join(TOGETHER)}, both or neither, found no"
            f" {lost}.parquet; remove {there[0]}.parquet too, or let snakemake make both again"
        )
    records = Records()
    job = records.of(folder / "config.json")
    if job is not None:
        for file in filter(Path.exists, job.outputs):
            check(file, job)
    tables = {name: _table(folder / "tables" / f"{name}.parquet") for name in NEEDED + OPTIONAL}
    tables["networks"] = read_networks(folder / "tables" / "networks.csv")
    config = read_record(folder / "config.json")
    made_from = [] if job is None or tables["top_images"].empty else job.record["inputs"]
    images = _images_file(made_from, folder.parents[1])
    if images is not None and (made := records.of(images)) is not None:
        check(images, made)
    return Run(
        folder.name,
        config,
        tables,
        None if images is None else _images(images, config["data"]["root"]),
        None if job is None else job.record,
    )


def _images_file(inputs: Sequence[str], results: Path) -> Path | None:
    """The prepared images of which the tables tell, if they are still where the run had them."""
    files = (results / name for name in inputs if Path(name).name == "images.safetensors")
    return next((file for file in files if file.exists()), None)


def _table(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame()
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def _images(path: Path, root: str | None) -> Images:
    from ..data.datasets import Split, load

    data = load(path, root)
    split = data.test
    if isinstance(split, Split):
        images = split.images
        return Images(split.labels, lambda places: np.asarray(images[list(places)]))
    return Images(split.labels, _pictures_of_files(split, data.about))


def _pictures_of_files(split: Any, about: dict[str, Any]) -> Callable[[Sequence[int]], np.ndarray]:
    """Image files are resized and cut as networks see them, which takes torch: loaded here only."""
    import torch

    from ..networks.images import Images as NetworkImages
    from ..networks.images import trained_preprocessing

    images = NetworkImages.on_device(split, trained_preprocessing(about), torch.device("cpu"))
    return lambda places: np.asarray(images.pictures(places).numpy())
