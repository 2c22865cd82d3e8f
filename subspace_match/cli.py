"""The command line: match two layers' activations, or show a run or what made a result."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .workflow.job import show_progress

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from .matching.minimal.result import MinimalMatches
    from .matching.path import MatchPath

SMALL_NULL = 2  # permutations that are made in any case

_EXAMPLE = """example:
  subspace-match a.npy b.npy --epsilon 0.2 0.3 --minimal --null 200 --out results

Arrays are (samples, neurons), the same samples in both: .npy, .npz, .pt, .safetensors or a Zarr
array; of a file with several arrays, PATH:NAME. --null permutes samples, so it wants one sample an
image: positions of a map are correlated within an image, and the pipeline permutes images.

Activations keep their means, as in the paper, so neurons match for a large mean that they have in
common. Two permutations always show whether they do, and a warning says so; --centre takes the
means away.

  subspace-match provenance results/.../similarity.csv

says what made a result of the workflow: configuration, networks, versions, commit and command.

  subspace-match report results/experiments/vgg11_bn-* --out comparison.html

makes one page of several finished runs, side by side.

  subspace-match prune

lists what lies in results/ though the present configuration and code no longer name it.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if all went well, 2 after one line on bad input."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments[:1] == ["provenance"]:
            from .workflow import provenance

            provenance.command(arguments[1:])
        elif arguments[:1] == ["prune"]:
            from .workflow import prune

            prune.command(arguments[1:])
        elif arguments[:1] == ["report"]:
            from .report import command

            command.main(arguments[1:])
        else:
            _match(_parser().parse_args(arguments))
    except (ValueError, OSError, MemoryError) as error:
        sys.stderr.write(f"subspace-match: error: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="subspace-match",
        description="Which neurons of two layers span each other's activations, and how many?",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", help="activations of network A's layer")
    parser.add_argument("b", help="activations of network B's layer on the same samples")
    parser.add_argument(
        "--epsilon",
        nargs="+",
        type=float,
        default=[0.15, 0.2, 0.25, 0.3, 0.5],
        metavar="E",
        help="relative distances in [0, 1) (default: the paper's, 0.15 0.2 0.25 0.3 0.5)",
    )
    parser.add_argument(
        "--minimal", action="store_true", help="minimal matches of every neuron, at each epsilon"
    )
    parser.add_argument(
        "--null", type=int, default=0, metavar="K", help="permute B's samples K times: p-values"
    )
    parser.add_argument(
        "--centre", action="store_true", help="take each neuron's mean from it before matching"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the permutations (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write tables and a figure there")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    return parser


def _match(options: argparse.Namespace) -> None:
    import numpy as np

    import subspace_match as sm

    from .matching.null import null_paths
    from .matching.validation import FewSamplesWarning, as_activations
    from .results.tables import (
        LAYER_COLUMNS,
        member_table,
        minimal_match_table,
        neuron_table,
        similarity_table,
    )
    from .storage.arrays import open_array
    from .storage.match_files import LayerMatch

    if options.null < 0:
        raise ValueError(f"--null: expected a number of permutations >= 0, found {options.null}")
    if options.out is not None:
        _check_folder(options.out)
    if options.seed < 0:
        raise ValueError(f"--seed: expected a whole number >= 0, found {options.seed}")
    x, y = as_activations("a", open_array(options.a)), as_activations("b", open_array(options.b))
    with warnings.catch_warnings(), _bar("samples", x.shape[0] * (1 + options.centre)) as bar:
        warnings.simplefilter("ignore", FewSamplesWarning)  # said below the table
        read = _Watched(x, bar.update)
        pair = sm.reduce(read, y, device=options.device, centred=options.centre)
    path = sm.match_path(pair, device=options.device)
    epsilons = sorted(set(options.epsilon))
    certificates = path.verify(epsilons, device=options.device)

    # Columns of an experiment's tables, which say nothing here.
    layer = dict.fromkeys(LAYER_COLUMNS, "") | {"layer": "A and B", "depth": 1, "draw": 0}
    about = layer | {"samples": pair.samples}
    match = LayerMatch.of(path, about)
    rng = np.random.default_rng(options.seed)
    # The fewest that show whether permuted samples match as well, unless more are asked for.
    count = options.null or SMALL_NULL
    orders = (rng.permutation(pair.samples) for _ in range(count))
    with _bar("permutations", count) as bar:
        paths = null_paths(pair, x, y, orders, device=options.device)
        permuted = []
        for permuted_path in paths:
            permuted.append(permuted_path.critical_epsilon)
            bar.update()
    by_chance = np.stack(permuted)
    null = by_chance if options.null else None
    similarity = similarity_table([match], [null], [certificates])
    tables = {"similarity": similarity, "neurons": neuron_table([match])}
    if options.minimal:
        found = [(_minimal(path, epsilon), about | {"epsilon": epsilon}) for epsilon in epsilons]
        tables["minimal_matches"] = minimal_match_table(found)
        tables["minimal_match_members"] = member_table(found)
    tables = {
        name: table.drop(columns=list(layer), errors="ignore").assign(a=options.a, b=options.b)
        for name, table in tables.items()
    }
    _print(similarity, tables.get("minimal_matches"))
    _warn_of_permuted(similarity, by_chance, centred=options.centre)
    if options.out is not None:
        _write(options.out, tables, neuron_table([match]))


class _Watched:
    """An array that tells how many samples were read."""

    def __init__(self, array: Any, tell: Callable[[int], Any]) -> None:
        self._array, self._tell = array, tell
        self.shape, self.dtype = array.shape, array.dtype
        self.chunks = getattr(array, "chunks", None)

    def __getitem__(self, rows: slice) -> Any:
        read = self._array[rows]
        self._tell(len(read))
        return read


def _bar(what: str, total: int) -> Any:
    """A progress bar on a terminal, for work that may take long."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, leave=False, disable=not show_progress())


def _minimal(path: MatchPath, epsilon: float) -> MinimalMatches:
    from .matching.minimal.search import minimal_matches

    match = path.maximum_match(epsilon)
    with _bar(f"minimal matches at {epsilon:g}", len(match.x) + len(match.y)) as bar:
        return minimal_matches(path, epsilon, progress=bar.update)


def _warn_of_permuted(similarity: pd.DataFrame, permuted: np.ndarray, *, centred: bool) -> None:
    """Say where the match is explained by what does not depend on the order of the samples."""
    explained = []
    for epsilon, share in zip(similarity["epsilon"], similarity["similarity"], strict=True):
        by_chance = (permuted <= epsilon).mean()
        if 0 < share <= 2 * by_chance:
            explained.append(f"{by_chance:.1%} of {share:.1%} at {epsilon:g}")
    if explained:
        advice = "use more samples" if centred else "use more samples, or --centre"
        _console().print(
            f"warning: with one side's samples permuted there is still {', '.join(explained)}:"
            f" means that neurons have in common, or too few samples, explain it; {advice}"
        )


def _check_folder(folder: Path) -> None:
    """Raise a ValueError, before the work and not after it, if there can be no such folder."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        found = "a folder that cannot be written to" if place.is_dir() else "a file"
        raise ValueError(f"--out: expected a folder to write to, found {found}: {place}")


def _print(similarity: pd.DataFrame, minimal: pd.DataFrame | None) -> None:
    from rich.table import Table

    first = similarity.iloc[0]
    table = Table(
        title=f"{first['neurons_a']} + {first['neurons_b']} neurons, {first['samples']} samples"
    )
    with_null = bool(similarity["p_value"].notna().any())
    headings = ["epsilon", "in A", "in B", "similarity"]
    headings += ["chance 95%", "p"] if with_null else []
    headings += ["margin"] + (["median minimal"] if minimal is not None else [])
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in similarity.itertuples():
        cells = [f"{row.epsilon:g}", str(row.matched_a), str(row.matched_b)]
        cells.append(f"{row.similarity:.1%}")
        cells += [f"{row.null_95:.1%}", f"{row.p_value:.3g}"] if with_null else []
        proved = "" if row.verified and row.certain else " (uncertain)"
        cells.append(f"{row.margin:.1e}{proved}")
        if minimal is not None:
            own = minimal[minimal["epsilon"] == row.epsilon]
            cells.append(f"{(own['size_a'] + own['size_b']).median():g}" if len(own) else "-")
        table.add_row(*cells)
    console = _console()
    console.print(table)
    dead = int(first["dead_a"]), int(first["dead_b"])
    if any(dead):
        console.print(f"dead neurons, in no match: {dead[0]} in A, {dead[1]} in B")
    if first["few_samples"]:
        console.print(
            f"warning: {first['neurons_per_sample']:.2f} neurons a sample; above 0.2 some of the"
            " match is chance"
        )


def _console() -> Any:
    from rich.console import Console

    return Console()


def _write(folder: Path, tables: dict[str, Any], neurons: pd.DataFrame) -> None:
    import numpy as np

    from .figures.critical import similarity_by_epsilon
    from .figures.style import save
    from .storage.files import write_record, write_table

    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    columns = ("epsilon", "matched_a", "matched_b", "similarity", "p_value", "margin")
    # JSON has no NaN, of what was not asked for, nor infinity, the margin of no decision.
    similarity = tables["similarity"].replace(np.inf, np.nan)
    rows = similarity.astype(object).where(similarity.notna(), None)
    write_record(folder / "similarity.json", {name: list(rows[name]) for name in columns})
    for kind in ("svg", "png"):
        save(similarity_by_epsilon(neurons), folder / f"similarity_by_epsilon.{kind}")


if __name__ == "__main__":
    sys.exit(main())
