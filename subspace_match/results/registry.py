"""What the readers of an experiment's tables must know: names, formats, columns, types."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Code reads the first format of a table; a CSV file beside a Parquet file is for people.
TABLES: dict[str, tuple[str, ...]] = {
    "networks": ("csv",),
    "similarity": ("parquet", "csv"),
    "summary": ("parquet", "csv"),
    "differences": ("parquet", "csv"),
    "neurons": ("parquet", "csv"),
    "measures": ("parquet", "csv"),
    "minimal_matches": ("parquet",),
    "minimal_match_members": ("parquet",),
    "null": ("parquet",),
    "heat_map": ("parquet",),
    "within_networks": ("parquet",),
    "top_images": ("parquet",),
    "left_out": ("parquet", "csv"),
    "outputs": ("parquet", "csv"),
    "universality": ("parquet",),
    "consensus": ("parquet", "csv"),
    "network_matrix": ("parquet",),
}
NO_SEED = -1  # the seed of a network in memory, whose training is not known


def share_column(epsilon: float) -> str:
    """Return the name of the column of the share of networks at an epsilon (``universality``)."""
    return f"share_{epsilon:g}"


def layers_in_order(table: pd.DataFrame) -> list[str]:
    """Return the names of layers by depth, each once.

    A layer that is deeper in one architecture than in another counts where it is deepest.
    """
    return list(table.groupby("layer")["depth"].max().sort_values(kind="stable").index)


def read_networks(path: str | Path) -> pd.DataFrame:
    """Read ``networks.csv`` with the types that ``network_table`` gave its columns."""
    import pandas as pd

    # A stage can be the number of an epoch, and a model can be called NA: both stay text.
    text = dict.fromkeys(("model", "stage", "key", "checkpoint"), str)
    missing = dict.fromkeys(("accuracy", "loss", "most_chosen"), "")
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=missing)
