"""The page and the folder of a comparison, in the forms of a run of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..figures import FIGURES
from ..figures.style import save as save_figure
from ..progress import Progress
from ..results.registry import TABLES
from ..results.tables import PairNames
from ..storage.files import write_record, write_table
from ..storage.match_files import save_matches, save_moments, save_nulls
from .layer_result import resampled
from .tables import figure_names, figures_of, matches_of

if TYPE_CHECKING:
    import pandas as pd

    from .layer_result import LayerComparison

Tables = Mapping[str, "pd.DataFrame"]
FORMATS = ("svg", "png")  # of figures


def config_of(names: PairNames, settings: Mapping[str, Any], labels: str) -> dict[str, Any]:
    """Describe a comparison in the sections that the page reads of a configuration.

    Args:
        names: of the models.
        settings: arguments of ``compare``.
        labels: how many classes there are, or why there are none.
    """
    models = {name: name.partition(": ")[2] or name for name in (names.model_a, names.model_b)}
    other = [f"{key}={value!r}" for key, value in settings.items()]
    arguments = ", ".join(
        [*models.values(), *(["None"] if len(models) == 1 else []), "loader", *other]
    )
    return {
        "call": f"subspace_match.compare({arguments})",
        "data": {"name": "inputs of a loader", "root": None},
        "network": {"name": "model", "weights": None},
        "training": {},
        "models": {name: {"network": {"name": model}} for name, model in models.items()},
        "extraction": {key: settings[key] for key in ("nodes", "positions", "tokens")},
        "chance": {"permutations": settings["permutations"], "labels": labels},
    }


def write_page(tables: Tables, names: PairNames, config: dict[str, Any], path: Path) -> None:
    """Write the page; ``config`` is that of ``config_of``."""
    from ..report import Run
    from ..report import write_page as write_runs

    write_runs([Run(names.comparison, config, dict(tables))], path)


def write_folder(
    tables: Tables,
    names: PairNames,
    config: Mapping[str, Any],
    layers: Mapping[str, LayerComparison],
    folder: Path,
) -> None:
    """Write tables, figures and their captions, match paths, moments and nulls.

    Nothing of an earlier comparison in the folder is left; other files stay. ``config`` is that of
    ``config_of``.
    """
    # An earlier comparison may have had figures and a null that this one has not. All other files
    # are replaced.
    for name in figure_names():
        for suffix in FORMATS:
            (folder / "figures" / f"{name}.{suffix}").unlink(missing_ok=True)
    (folder / "nulls.npz").unlink(missing_ok=True)
    write_record(folder / "config.json", config)
    for name, table in tables.items():
        for suffix in TABLES[name]:
            write_table(table, folder / "tables" / f"{name}.{suffix}")
    captions, figures = {}, figures_of(tables)
    with Progress("figures", len(figures)) as progress:
        for name, figure in figures.items():
            save_figure(figure, *(folder / "figures" / f"{name}.{kind}" for kind in FORMATS))
            captions[name] = FIGURES[name].caption(tables, folder.name, config)
            progress.update()
    write_record(folder / "figures" / "captions.json", captions)
    matches = matches_of(names, layers)
    origins = {name: match.origin for name, match in matches.items()}
    save_matches(folder / "matches.npz", matches.values())
    save_moments(
        folder / "moments.npz", ((origins[name], layer.pair) for name, layer in layers.items())
    )
    nulls = {
        origins[name]: own
        for name, layer in layers.items()
        if (own := resampled(layer)) is not None
    }
    if nulls:
        save_nulls(folder / "nulls.npz", nulls)
