"""Tables -> the paper's figures, and what is seen in each."""

from pathlib import Path
from typing import Any

from subspace_match.workflow.job import run


def plot(snakemake: Any) -> None:
    from subspace_match import figures
    from subspace_match.storage.files import write_record

    given, config = snakemake.input, snakemake.config
    captions = {}
    drawings = [path for path in map(Path, snakemake.output) if path.suffix != ".json"]
    folder = drawings[0].parent
    for name in dict.fromkeys(path.stem for path in drawings):
        tables = {table: read(given[table]) for table in figures.TABLES[name]}
        pictures = [images(given.images, config["data"]["root"])] if name == "top_images" else []
        figure = getattr(figures, name)(*tables.values(), *pictures)
        for path in drawings:
            if path.stem == name:
                figures.save(figure, path)
        captions[name] = figures.caption(name, tables, folder.parent.name, config)
    write_record(folder / "captions.json", captions)


def read(path: str) -> Any:
    import pandas as pd

    from subspace_match.results.registry import read_networks

    return pd.read_parquet(path) if path.endswith(".parquet") else read_networks(path)


def images(path: str, root: str | None) -> Any:
    """What gives an image of the evaluation split by its place: as networks see it, in colours."""
    import torch

    from subspace_match.data.datasets import load
    from subspace_match.networks.images import Images, trained_preprocessing

    data = load(path, root)
    split = Images.on_device(data.test, trained_preprocessing(data.about), torch.device("cpu"))
    return lambda place: split.pictures([place])[0].numpy()


run(plot, snakemake, threads=1)  # type: ignore[name-defined]
