"""The match of one pair of layers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..matching.measures.registry import Noted, noted_measures
from ..matching.path import MatchPath
from ..matching.reduction.moments import PairMoments

if TYPE_CHECKING:
    from ..networks.layer_info import LayerInfo


@dataclass(frozen=True, eq=False, repr=False)
class LayerComparison:
    """The match of one layer of A with one layer of B.

    Attributes:
        name: its key in the comparison.
        layer_a, layer_b: the layers.
        path: the maximum matches at every epsilon.
        null: critical epsilons with B's inputs permuted, (permutations, n_a + n_b) float64; None
            without permutations.
    """

    name: str
    layer_a: LayerInfo
    layer_b: LayerInfo
    path: MatchPath
    null: np.ndarray | None

    def __repr__(self) -> str:
        return f"<LayerComparison {self.name}: {self.path!r}>"

    @property
    def pair(self) -> PairMoments:
        """The moments of both layers."""
        return self.path.pair

    @property
    def neurons_per_sample(self) -> float:
        """Number of neurons of the wider layer, divided by the number of samples."""
        return max(self.pair.neurons_x, self.pair.neurons_y) / self.pair.samples

    @cached_property
    def measures(self) -> dict[str, Noted]:
        """Other measures of similarity by name: values, and notes where they are NaN."""
        return noted_measures(self.pair)
