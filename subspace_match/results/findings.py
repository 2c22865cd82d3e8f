"""What a run found, in a few plain sentences: for the terminal, as the page says it for the screen.

``report/page/answer.js`` writes the same sentences at any epsilon; a test holds the two together.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..storage.job_records import Records, check
from .gather import warnings_of
from .registry import read_networks
from .wording import layers_in_words, listed, percent

if TYPE_CHECKING:
    import pandas as pd

    Tables = Mapping[str, pd.DataFrame]

# How much of a layer is shared: the words, and the share from which on they apply.
SHARES = {"nearly all": 0.9, "most": 0.5, "some": 0.1, "few": 1e-9, "none": 0.0}
NOTHING = "no neurons in any layer"
LEVEL = 0.05  # of p-values
MOSTLY = 0.9  # labels that reach this part of a similarity leave little to explain
MOST_COMPARISONS = 3  # of more only the first and the last are described
_LABEL = 12  # width of what stands before a line


def closing_lines(
    tables: Tables, page: str | Path | None, folder: str | Path | None, labels: str = ""
) -> list[str]:
    """Return the lines with which a run ends: result, chance, warnings, and where to look on.

    Args:
        tables: of a run or of a comparison; "minimal_matches" may be missing.
        page: the page; None if there is none.
        folder: of tables and figures; None if there is none.
        labels: of a comparison: how many classes, or why there are none; empty if none are needed.
    """
    opens = first_epsilon(tables)
    # Minimal matches may have an epsilon that is not in the grid.
    epsilon = min(tables["summary"]["epsilon"].unique(), key=lambda known: abs(known - opens))
    found = similarity_words(tables["summary"], float(epsilon))
    chance = " ".join(
        f"{name}: {' '.join(more)}" if len(found) > 1 else " ".join(more)
        for name, (_, *more) in found.items()
        if more
    )
    warnings = list(warnings_of(tables))
    lines = {
        "Similarity": " ".join(first for first, *_ in found.values()),
        "Chance": chance or _area_in_words(tables["summary"]),
        **({"Labels": labels} if labels else {}),
        "Warnings": f"{len(warnings)}; the first: {warnings[0]}" if warnings else "none",
    }
    if page is not None:
        lines["Page"] = f"{page} (open it in a browser)"
    if folder is not None:
        lines["Files"] = (
            f"tables and figures in {folder}; to see it beside another run:"
            f" subspace-match report {shlex.quote(str(folder))} OTHER"
        )
    return [f"{f'{name}:':<{_LABEL}}{line}" for name, line in lines.items()]


def read_closing_lines(folder: str | Path, results: str | Path) -> list[str]:
    """Return ``closing_lines`` of a run's folder in the folder of results.

    If a table that they need was removed or damaged, or may not be read, return what is wrong with
    it: what was asked for may be complete without it.
    """
    import pandas as pd

    folder, records = Path(folder), Records(results)
    names = ("summary", "similarity", "measures", "minimal_matches")
    files = {name: folder / "tables" / f"{name}.parquet" for name in names}
    networks = folder / "tables" / "networks.csv"
    try:
        for file in (*files.values(), networks):
            check(file.absolute(), records.required(file))
    except (OSError, ValueError) as error:
        return [f"What the run found is not shown. {error}"]
    tables = {name: pd.read_parquet(file) for name, file in files.items()}
    tables["networks"] = read_networks(networks)
    return closing_lines(tables, folder / "report.html", folder)


def first_epsilon(tables: Tables) -> float:
    """Return the epsilon at which the page opens.

    That is the largest one with minimal matches or, without these, the middle of the grid.
    """
    minimal = tables.get("minimal_matches")
    if minimal is not None and len(minimal):
        return float(minimal["epsilon"].max())
    grid = sorted(tables["summary"]["epsilon"].unique())
    return float(grid[len(grid) // 2])


def similarity_words(summary: pd.DataFrame, epsilon: float) -> dict[str, list[str]]:
    """Describe all layers at an epsilon of the grid: of three comparisons, or the first and last.

    Args:
        summary: the table.
        epsilon: from its column ``epsilon``.

    Returns:
        Sentences by comparison: how much is shared in which layers, and what is only chance; what
        labels explain of what is shared; where there are few images.
    """
    names = list(summary["comparison"].unique())
    at = summary[summary["epsilon"] == epsilon].sort_values("depth", kind="stable")
    shown = names if len(names) <= MOST_COMPARISONS else [names[0], names[-1]]
    return {
        name: _in_words(at[at["comparison"] == name], epsilon, name if len(names) > 1 else "")
        for name in shown
    }


def _in_words(rows: pd.DataFrame, epsilon: float, name: str) -> list[str]:
    """Describe all layers of one comparison; its name is empty if it is the only one."""
    pairs = int(rows["pairs"].max())
    who = "the networks of a pair" if pairs > 1 else "the two networks"
    which = f" ({name})" if name else ""
    layers = list(rows["layer"])
    # What chance alone gives is not shared, and what chance gives is perhaps not known.
    chance = rows[(rows["p_value"] > LEVEL) & (rows["similarity"] > 0)]
    verb = "match" if rows["p_value"].isna().all() else "share"
    shared = _shared(rows.drop(chance.index), layers)
    every = " in every pair" if pairs > 1 else ""
    first = f"At epsilon {epsilon:g} {who}{which} {verb} {shared}"
    if len(chance):
        where = layers_in_words(list(chance["layer"]), layers)
        if shared == NOTHING:
            first += f" beyond chance{every}"
        first += f"; what matches in {where} ({_range(chance['similarity'])}) is"
        first += f" not{every} more than chance explains"
    return [f"{first}.", *_explained(rows, layers, pairs), *_few_images(rows, layers)]


def _area_in_words(summary: pd.DataFrame) -> str:
    """Say what the area shows where nothing matches that would be more than chance."""
    words = "Nothing more matches at this epsilon. The area under all epsilons is"
    words += f" {_range(summary['area'])}"
    if summary["area_null_threshold"].isna().all():
        return f"{words}; the chance level is unknown."
    above = summary[summary["area_p_value"] <= LEVEL]
    where = "no layer"
    if len(above):
        layers = list(dict.fromkeys(summary["layer"]))
        where = layers_in_words([name for name in layers if name in set(above["layer"])], layers)
    return f"{words}, and more than chance ({_range(summary['area_null_threshold'])}) in {where}."


def _shared(rows: pd.DataFrame, layers: Sequence[str]) -> str:
    """Name which of all layers share how much: "most neurons in conv1 (77.0%) and none in fc1"."""
    if not (rows["similarity"] > 0).any():
        return NOTHING
    parts: list[str] = []
    shares = list(SHARES.items())
    for place, (words, least) in enumerate(shares):
        below = shares[place - 1][1] if place else float("inf")
        own = rows[(rows["similarity"] >= least) & (rows["similarity"] < below)]
        if len(own):
            # Once is enough for the word.
            words = words if parts else f"{words} neurons"
            values = "" if least == 0 else f" ({_range(own['similarity'])})"
            parts.append(f"{words} in {layers_in_words(list(own['layer']), layers)}{values}")
    return listed(parts)


def _explained(rows: pd.DataFrame, layers: Sequence[str], pairs: int) -> Iterator[str]:
    """Compare what is more than chance with what labels alone explain."""
    every = "in every pair " if pairs > 1 else ""
    # The p-value is the largest of all pairs.
    known, above = rows["p_value"].notna(), rows["p_value"] <= LEVEL
    labels_known, above_labels = rows["class_p_value"].notna(), rows["class_p_value"] <= LEVEL
    mostly = rows["class_null_threshold"] >= MOSTLY * rows["similarity"]
    groups = {
        f"it is {every}more than chance and labels alone explain": above & above_labels & ~mostly,
        "labels alone explain at least nine tenths of it": above & above_labels & mostly,
        f"it is not {every}more than labels alone explain": above & labels_known & ~above_labels,
        f"it is {every}more than chance explains (what labels explain is unknown)": (
            above & ~labels_known
        ),
        "the chance level is unknown": ~known,
    }
    clauses = []
    for words, belongs in groups.items():
        own = rows[belongs & (rows["similarity"] > 0)]
        if len(own):
            clauses.append(f"in {layers_in_words(list(own['layer']), layers)} {words}")
    if clauses:
        yield f"I{'; '.join(clauses)[1:]}."


def _few_images(rows: pd.DataFrame, layers: Sequence[str]) -> Iterator[str]:
    few = rows[rows["few_samples"] & (rows["similarity"] > 0)]
    if few.empty:
        return
    where = layers_in_words(list(few["layer"]), layers)
    points = 100 * (few["similarity"] - few["cross_fitted"]).max()  # without NaN
    corrected = "is as high" if points < 0.05 else f"is at most {points:.1f} points lower"
    unknown = few[few["cross_fitted"].isna()]
    if len(unknown) == len(few):
        corrected = "is unknown"
    elif len(unknown):
        corrected += f", and unknown in {layers_in_words(list(unknown['layer']), layers)}"
    yield (
        f"In {where} there are few images for the neurons; the cross-fitted similarity {corrected}."
    )


def _range(values: pd.Series[float]) -> str:
    low, high = percent(values.min()), percent(values.max())
    return low if low == high else f"{low} to {high}"
