"""The matches that an unfinished search has found, so that another call can go on from there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..reduction.moments import PairMoments
from ..validation import check_type, in_words
from .result import MinimalMatches, deduplicate

SAME = 1e-12  # of the product of two unit vectors: rounding of the same activations is smaller
_ARRAYS = "search", "products", "searched", "distinct", "match_of"


class PartialMatches:
    """Minimal matches found so far; ``minimal_matches`` goes on with it and adds to it.

    The n neurons are X's, then Y's. Save ``arrays()`` at any time, and continue with
    ``from_arrays``, the same pair and the same options. Another pair, epsilon, order, seed or
    number of restarts is an error; ``neurons`` and ``threads`` may change.

    Args:
        neurons: n, at least 1.

    Attributes:
        searched: number of orders of tests that are finished for each neuron, (n,) int64.

    Raises:
        ValueError: if ``neurons`` is not a whole number of at least 1.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> pair, partial = sm.reduce(np.eye(4)[:, :3], np.eye(4)), sm.PartialMatches(7)
        >>> len(sm.minimal_matches(pair, 0.1, neurons=[("x", 0)], partial=partial))
        1
        >>> saved = partial.arrays()
        >>> partial.count, saved["match_of"]
        (1, array([ 0, -1, -1, -1, -1, -1, -1]))
    """

    def __init__(self, neurons: int) -> None:
        if not isinstance(neurons, (int, np.integer)) or neurons < 1:
            raise ValueError(
                f"neurons: expected a whole number of at least 1, found {in_words(neurons)}; pass"
                " the number of neurons of both sides"
            )
        self.searched = np.zeros(neurons, dtype=np.int64)
        # What is searched, in words, and ``products_of`` the pair; empty before the first call.
        self._search, self._products = "", np.zeros(neurons)
        self._rows: list[np.ndarray] = []
        self._row_of = np.full(neurons, -1)
        self._sizes = np.full(neurons, neurons + 1)

    @property
    def count(self) -> int:
        """Number of neurons finished, in all orders together, as ``progress`` counts."""
        return int(self.searched.sum())

    def begin(self, search: str, pair: PairMoments) -> None:
        """Note what is searched; raise a ValueError if an earlier call has searched another thing.

        Args:
            search: epsilon and the options that determine the matches.
            pair: the moments that determine them.
        """
        if len(self.searched) != len(pair.sums):
            raise ValueError(
                f"partial: expected matches of {len(pair.sums)} neurons, found"
                f" {len(self.searched)}; go on with the same pair, or omit it"
            )
        search = f"{search}, {pair.neurons_x} + {pair.neurons_y} neurons"
        products = products_of(pair)
        anew = f"begin with a new PartialMatches({len(self.searched)}), or go on with the same"
        if self._search not in ("", search):
            raise ValueError(
                f"partial: expected matches of {search}, found those of {self._search}; {anew}"
                " arguments"
            )
        if self._search and np.abs(products - self._products).max() > SAME * len(products):
            raise ValueError(
                f"partial: expected matches of this pair, found those of other activations; {anew}"
                " pair"
            )
        self._search, self._products = search, products

    def add(self, members: np.ndarray, match: np.ndarray) -> None:
        """Add a match, (size,) int64, found for some neurons; keep it where it is the smallest."""
        better = members[len(match) < self._sizes[members]]
        if len(better):
            # In this order: a signal can interrupt at any line, and what is left must be valid.
            self._rows.append(np.isin(np.arange(len(self.searched)), match))
            self._row_of[better] = len(self._rows) - 1
            self._sizes[better] = len(match)
        self.searched[members] += 1

    def matches(self, neurons_x: int, only: np.ndarray | None = None) -> MinimalMatches:
        """Return what is found so far, or of it the matches of columns ``only``."""
        rows = np.array(self._rows).reshape(-1, len(self.searched))
        row_of = self._row_of
        if only is not None:
            row_of = np.where(np.isin(np.arange(len(row_of)), only), row_of, -1)
        return deduplicate(neurons_x, rows, row_of)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as arrays, by name."""
        found = self.matches(0)
        return {
            "search": np.array(self._search),
            "products": self._products,
            "searched": self.searched,
            "distinct": np.packbits(found.distinct, axis=1),
            "match_of": found.match_of,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> PartialMatches:
        """Build from ``arrays()``, also as ``np.load`` returns them.

        Raises:
            ValueError: if an array is missing.
        """
        check_type("arrays", arrays, Mapping, "what PartialMatches.arrays() returned")
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing:
            raise ValueError(
                f"arrays: expected {', '.join(_ARRAYS)}, found no {', '.join(missing)}; pass what"
                " PartialMatches.arrays() returned"
            )
        partial = cls(len(arrays["searched"]))
        partial.searched = arrays["searched"].copy()
        partial._search, partial._products = str(arrays["search"]), arrays["products"].copy()
        distinct = np.unpackbits(arrays["distinct"], axis=1, count=len(partial.searched))
        partial._rows = list(distinct.astype(bool))
        partial._row_of = arrays["match_of"].copy()
        found = partial._row_of >= 0
        partial._sizes[found] = distinct.sum(1, dtype=np.int64)[partial._row_of[found]]
        return partial


def products_of(pair: PairMoments) -> np.ndarray:
    """Return the product of each neuron, scaled to norm 1, with one random sum of all neurons.

    Matches depend on nothing but inner products. A product of two pairs that differs shows in these
    numbers, while the same activations, reduced again elsewhere, differ by rounding only, which a
    checksum would not allow.

    Returns:
        (n,) float64; 0 for a dead neuron.
    """
    weights = np.random.default_rng(0).normal(size=pair.factor.shape[1])
    products = np.zeros(len(pair.sums))
    products[pair.live] = pair.factor.T @ (pair.factor @ weights)
    return products
