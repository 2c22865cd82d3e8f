"""Draw the figures from the tables, and write their captions."""

from pathlib import Path
from typing import Any

from subspace_match.workflow.job import run


def plot(snakemake: Any) -> None:
    from subspace_match.figures import FIGURES
    from subspace_match.figures.style import save
    from subspace_match.storage.files import write_record

    inputs, config = snakemake.input, snakemake.config
    files = [path for path in map(Path, snakemake.output) if path.suffix != ".json"]
    folder = files[0].parent
    captions = {}
    for name in dict.fromkeys(path.stem for path in files):
        spec = FIGURES[name]
        tables = {table: read(inputs[table]) for table in spec.tables}
        images = read_images(inputs.images, config["data"]["root"]) if spec.takes_images else None
        figure = spec.draw(tables, images)
        save(figure, *(path for path in files if path.stem == name))
        captions[name] = spec.caption(tables, folder.parent.name, config)
    write_record(folder / "captions.json", captions)


def read(path: str) -> Any:
    import pandas as pd

    from subspace_match.results.registry import read_networks

    return pd.read_parquet(path) if path.endswith(".parquet") else read_networks(path)


def read_images(path: str, root: str | None) -> Any:
    """Return a function from an index to that image of the evaluation split; None for texts."""
    from subspace_match.data.prepared import load
    from subspace_match.networks.pictures import pictures_of

    pictures = pictures_of(load(path, root))
    return None if pictures is None else lambda index: pictures([index])[0]


run(plot, snakemake, threads=1)  # type: ignore[name-defined]
