"""``subspace-match match``: match the neurons of two layers whose activations are in files."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..progress import Progress

if TYPE_CHECKING:
    from .match_output import Matched

LEAST_PERMUTATIONS = 2  # always made, to warn of matches that do not depend on the samples' order

OUT = "write tables and a figure to DIR; neurons.parquet has each neuron's critical epsilon"

EPILOG = """example:
  subspace-match a.npy b.npy --epsilon 0.2 0.3 --minimal --null 199 --out results

Arrays have the shape (samples, neurons), with the same samples in both. Formats: .npy, .npz, .pt,
.safetensors or a Zarr array; write PATH:NAME to choose one of several arrays in a file.

The table has one row per epsilon, and the lines below it name the neurons:
  in A, in B        neurons of each layer in the maximum match
  similarity        their share of all neurons
  null 5%           with --null: similarity that B's permuted samples reach in 5% of the cases
  p                 with --null: how likely chance alone gives this similarity or more
  margin            distance of epsilon from the nearest decision; "(uncertain)" if rounding could
                    change that decision, and with it the match
  median minimal    with --minimal: median number of neurons in a minimal match

--null permutes samples, so the samples must be exchangeable: use one sample per image. (Positions
of a feature map are correlated within an image; the pipeline permutes whole images.)

As in the paper, activations keep their means, so neurons can match only because they share a large
mean. Two permutations are always made to detect this, and a warning reports it. --centre subtracts
the means.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the two arrays and the options."""
    parser.add_argument("a", help="activations of a layer of network A")
    parser.add_argument("b", help="activations of a layer of network B on the same samples")
    parser.add_argument(
        "--epsilon",
        nargs="+",
        type=float,
        metavar="E",
        help="relative distances in [0, 1) (default: the paper's grid, from 0.15 to 0.5)",
    )
    parser.add_argument(
        "--minimal", action="store_true", help="find each neuron's minimal match at each epsilon"
    )
    parser.add_argument(
        "--null", type=int, default=0, metavar="K", help="permute B's samples K times for p-values"
    )
    parser.add_argument(
        "--centre", action="store_true", help="subtract each neuron's mean before matching"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of permutations (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help=OUT)
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")


def run(options: argparse.Namespace) -> None:
    """Match the layers, print a table and, with ``--out``, write files.

    Raises:
        ValueError: if an option or an array is not valid.
    """
    from ..matching.permutation_counts import check_permutations
    from ..matching.validation import as_epsilons
    from .match_output import print_table, write_files

    check_permutations("--null", options.null)
    as_epsilons(options.epsilon or ())
    if options.seed < 0:
        raise ValueError(f"--seed: expected a whole number >= 0, found {options.seed}")
    write = None if options.out is None else write_files(options.out)
    matched = _matched(options)
    print_table(matched)
    if explained := _explained_by_permutations(matched):
        advice = "use more samples" if options.centre else "use more samples, or --centre"
        sys.stdout.write(
            f"warning: with B's samples permuted, the similarity is still {explained}; shared means"
            f" of neurons, or too few samples, explain the match: {advice}\n"
        )
    if write is not None:
        write(matched, options.a, options.b)


def _matched(options: argparse.Namespace) -> Matched:
    import numpy as np

    from ..matching.backends.numpy_ import threads_for
    from ..matching.epsilons import EPSILONS
    from ..matching.minimal.search import minimal_matches
    from ..matching.null import NullNeurons, null_neurons
    from ..matching.path import match_path
    from ..matching.reduction.moments import reduce
    from ..matching.validation import FewSamplesWarning, as_activations
    from ..storage.arrays import open_array
    from .match_output import Matched

    x, y = as_activations("a", open_array(options.a)), as_activations("b", open_array(options.b))
    device = options.device
    samples_to_read = (1 + options.centre) * x.shape[0]
    with warnings.catch_warnings(), Progress("samples", samples_to_read) as progress:
        warnings.simplefilter("ignore", FewSamplesWarning)  # the table reports it
        watched = _WatchedArray(x, progress.update)
        pair = reduce(watched, y, device=device, centred=options.centre)
    count = options.null or LEAST_PERMUTATIONS
    rng = np.random.default_rng(options.seed)
    orders = (rng.permutation(pair.samples) for _ in range(count))
    permuted = []
    epsilons = sorted(set(options.epsilon or EPSILONS))
    works = Progress("match and permutations", 1 + count)
    with works as progress, threads_for(len(pair.sums)):
        path = match_path(pair, device=device)
        certificates = path.verify(epsilons, device=device)
        progress.update()
        for found in null_neurons(pair, x, y, orders, device=device):
            permuted.append(found)
            progress.update()
    minimal = []
    for epsilon in epsilons if options.minimal else []:
        match = path.maximum_match(epsilon)
        neurons = len(match.x) + len(match.y)
        with Progress(f"minimal matches at {epsilon:g}", neurons) as progress:
            minimal.append(minimal_matches(path, epsilon, progress=progress.update))
    return Matched(path, certificates, NullNeurons.stacked(permuted), options.null > 0, minimal)


class _WatchedArray:
    """An array that reports how many samples were read."""

    def __init__(self, array: Any, report: Callable[[int], Any]) -> None:
        self._array, self._report = array, report
        self.shape, self.dtype = array.shape, array.dtype
        self.chunks = getattr(array, "chunks", None)

    def __getitem__(self, rows: slice) -> Any:
        read = self._array[rows]
        self._report(len(read))
        return read


def _explained_by_permutations(matched: Matched) -> str:
    """Describe at which epsilons permutations reach half of the observed similarity."""
    found = []
    for epsilon in matched.epsilons:
        observed = matched.path.similarity(epsilon)
        permuted = (matched.permuted.critical_epsilon <= epsilon).mean()
        if 0 < observed <= 2 * permuted:
            found.append(f"{permuted:.1%} (observed: {observed:.1%}) at {epsilon:g}")
    return ", ".join(found)
