"""Figures of a finished run, drawn again from its folder: another format, or a dark ground."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pandas as pd

from ..results.registry import TABLES, read_networks
from .registry import FIGURES
from .style import dark, save


def save_figure(folder: str | Path, name: str, path: str | Path, *, on_dark: bool = False) -> None:
    """Draw a figure of a run or a saved comparison again.

    Args:
        folder: with ``tables``.
        name: from ``FIGURES``; figures that show images cannot be drawn from a folder alone.
        path: the file, in the format of its suffix: svg, png or pdf.
        on_dark: whether to draw light lines on a dark ground.

    Raises:
        ValueError: if there is no such figure, or it shows images.
        FileNotFoundError: if the folder has no such table.
    """
    spec = FIGURES.get(name)
    drawable = [own.name for own in FIGURES.values() if not own.takes_images]
    if spec is None or spec.takes_images:
        raise ValueError(f"name: expected one of {', '.join(drawable)}, found {name!r}")
    tables = {}
    for table in spec.tables:
        file = Path(folder, "tables", f"{table}.{TABLES[table][0]}")
        tables[table] = read_networks(file) if file.suffix == ".csv" else pd.read_parquet(file)
    with dark() if on_dark else nullcontext():
        save(spec.draw(tables), path)
