"""What ``subspace-match match`` prints and writes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..extras import needs
from ..matching.permutation_test import p_values, threshold
from ..matching.validation import FEW_SAMPLES
from ..storage.outputs import check_folder

if TYPE_CHECKING:
    from ..matching.certificate import Certificate
    from ..matching.minimal.result import MinimalMatches
    from ..matching.null import NullNeurons
    from ..matching.path import MatchPath


MOST_RUNS = 8  # of neurons in a row, printed of each side


@dataclass(frozen=True)
class Matched:
    """Everything that the command computed."""

    path: MatchPath
    certificates: list[Certificate]  # one for each epsilon, in increasing order
    permuted: NullNeurons  # with B's samples permuted, (permutations, neurons)
    with_null: bool  # whether the user asked for permutations
    minimal: list[MinimalMatches]  # one for each epsilon; empty unless the user asked for them

    @property
    def epsilons(self) -> list[float]:
        """The grid, in increasing order."""
        return [certificate.epsilon for certificate in self.certificates]


def print_table(matched: Matched) -> None:
    """Print one row per epsilon, and what limits the result."""
    path = matched.path
    sides = path.critical_epsilon_x, path.critical_epsilon_y
    neurons, samples = [len(side) for side in sides], path.pair.samples
    header = ["epsilon", "in A", "in B", "similarity"]
    header += ["null 5%", "p"] if matched.with_null else []
    header += ["margin", *(["median minimal"] if matched.minimal else [])]
    lines = [f"{neurons[0]} + {neurons[1]} neurons, {samples} samples"]
    lines += _aligned([header, *(_row(matched, place) for place in range(len(matched.epsilons)))])
    for epsilon in matched.epsilons:
        match = path.maximum_match(epsilon)
        lines.append(
            f"neurons at {epsilon:g}: A {neuron_words(match.x)}; B {neuron_words(match.y)}"
        )
    dead = [int(np.isnan(side).sum()) for side in sides]
    if any(dead):
        lines.append(f"dead neurons, which are in no match: {dead[0]} in A, {dead[1]} in B")
    if max(neurons) > FEW_SAMPLES * samples:
        lines.append(
            f"warning: {max(neurons) / samples:.2f} neurons per sample; above {FEW_SAMPLES:g} part"
            " of the match is chance"
        )
    sys.stdout.write("\n".join([*lines, ""]))


def neuron_words(neurons: np.ndarray) -> str:
    """List neurons in ascending order, with ranges, and count those that would make it long.

    Example:
        >>> neuron_words(np.array([0, 1, 2, 5, 8, 9])), neuron_words(np.array([], dtype=int))
        ('0 to 2, 5, 8, 9', 'none')
        >>> neuron_words(np.arange(0, 40, 2))
        '0, 2, 4, 6, 8, 10, 12, 14 and 12 more'
    """
    runs = np.split(neurons, np.flatnonzero(np.diff(neurons) > 1) + 1)
    shown = runs[:MOST_RUNS]
    words: list[str] = []
    for run in shown:
        words += [f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run)
    left = len(neurons) - sum(map(len, shown))
    return (", ".join(words) or "none") + (f" and {left} more" if left else "")


def _row(matched: Matched, place: int) -> list[str]:
    certificate = matched.certificates[place]
    epsilon = certificate.epsilon
    match, similarity = matched.path.maximum_match(epsilon), matched.path.similarity(epsilon)
    cells = [f"{epsilon:g}", str(len(match.x)), str(len(match.y)), f"{similarity:.1%}"]
    if matched.with_null:
        null = (matched.permuted.critical_epsilon <= epsilon).mean(1)
        (p,) = p_values(np.array([similarity]), null[:, None])
        cells += [f"{threshold(null):.1%}", f"{p:.3g}"]
    proved = certificate.sound and certificate.complete and certificate.certain
    cells.append(f"{certificate.margin:.1e}{'' if proved else ' (uncertain)'}")
    if matched.minimal:
        sizes = matched.minimal[place].sizes
        cells.append(f"{np.median(sizes[sizes > 0]):g}" if (sizes > 0).any() else "-")
    return cells


def _aligned(rows: list[list[str]]) -> list[str]:
    """Return one line per row, with columns aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "".join(f"  {cell:>{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def write_files(folder: Path) -> Callable[[Matched, str, str], None]:
    """Return the function that writes tables and a figure of the arrays A and B to a folder.

    The folder and the packages that writing needs are checked now, before the work.

    Raises:
        ValueError: if the folder cannot be written to.
        MissingExtraError: if a package is not installed.
    """
    check_folder("--out", folder)
    with needs("plots", "--out"):
        import pyarrow  # noqa: F401  # pandas imports it only to write

        from ..figures.critical import similarity_by_epsilon
        from ..figures.style import save
        from ..results import tables
        from ..results.tables import LayerResult, PairNames
        from ..storage.files import write_record, write_table
        from ..storage.match_files import LayerMatch, Resampled
        from ..storage.result_origin import LayerOrigin

    def write(matched: Matched, a: str, b: str) -> None:
        names = PairNames("", "", 0, "", "", 0, "")
        origin = LayerOrigin("", (), (), "A and B", "", "", 1, matched.path.pair.samples, 0)
        match = LayerMatch.from_path(matched.path, origin)
        null = Resampled.of(matched.permuted) if matched.with_null else None
        minimal = dict(zip(matched.epsilons, matched.minimal, strict=False))
        result = [LayerResult(names, match, matched.certificates, null, minimal=minimal)]
        written = {
            "similarity": tables.similarity_table(result),
            "neurons": tables.neuron_table(result),
        }
        if matched.minimal:
            written["minimal_matches"] = tables.minimal_match_table(result)
            written["minimal_match_members"] = tables.member_table(result)
        else:  # those of an earlier match; all other files are replaced
            for name in ("minimal_matches", "minimal_match_members"):
                (folder / f"{name}.parquet").unlink(missing_ok=True)
        # Columns that name the networks of an experiment mean nothing here.
        names_of_experiment = [*tables.LAYER_COLUMNS, "draw"]
        for name, table in written.items():
            own = table.drop(columns=names_of_experiment, errors="ignore").assign(a=a, b=b)
            write_table(own, folder / f"{name}.parquet")
        columns = ("epsilon", "matched_a", "matched_b", "similarity", "p_value", "margin")
        # JSON has neither NaN (a p-value without a null) nor infinity (a margin without decisions).
        similarity = written["similarity"].replace(np.inf, np.nan)
        rows = similarity.astype(object).where(similarity.notna(), None)
        write_record(folder / "similarity.json", {name: list(rows[name]) for name in columns})
        figure = similarity_by_epsilon(written["neurons"])
        save(figure, *(folder / f"similarity_by_epsilon.{kind}" for kind in ("svg", "png")))

    return write
