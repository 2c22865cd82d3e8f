"""The tables of an experiment: their names, their formats, and how the CSV of networks is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Formats by table. Code reads the first one; CSV is for people, but for networks.csv.
TABLES: dict[str, tuple[str, ...]] = {
    "networks": ("csv",),
    "similarity": ("parquet", "csv"),
    "summary": ("parquet", "csv"),
    "neurons": ("parquet", "csv"),
    "measures": ("parquet", "csv"),
    "minimal_matches": ("parquet",),
    "minimal_match_members": ("parquet",),
    "null": ("parquet",),
    "heat_map": ("parquet",),
    "top_images": ("parquet",),
    "left_out": ("parquet", "csv"),
}


def read_networks(path: str | Path) -> pd.DataFrame:
    """Read ``networks.csv`` with the types that ``network_table`` gave its columns."""
    import pandas as pd

    # A stage can be the number of an epoch, and a model can be called NA. Both stay text.
    text = dict.fromkeys(("model", "stage", "key", "checkpoint"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"accuracy": ""})
