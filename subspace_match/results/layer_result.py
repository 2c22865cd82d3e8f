"""What is known of one layer of two networks, as the tables need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..matching.certificate import Certificate
from ..matching.minimal.result import MinimalMatches
from ..storage.match_files import LayerMatch, Measures
from ..storage.result_origin import LayerOrigin


@dataclass(frozen=True)
class PairNames:
    """The names of a pair of networks in the tables.

    Attributes:
        comparison: what is compared, in words.
        model_a, model_b: name of each network's model.
        seed_a, seed_b: seed of each network.
        stage_a, stage_b: stage of training of each network.
    """

    comparison: str
    model_a: str
    seed_a: int
    stage_a: str
    model_b: str
    seed_b: int
    stage_b: str


@dataclass(frozen=True)
class LayerResult:
    """The results of one layer of a pair of networks, in one draw of positions.

    Attributes:
        pair: the names of the pair.
        match: the match path.
        certificates: one per epsilon of the grid, in ascending order.
        null: critical epsilons (permutations, n_a + n_b) when B's images are permuted. None without
            a null: no permutations were asked for, or this is not the first draw.
        measures: value and note of each other measure, by name; empty in all draws but the first.
        minimal: minimal matches by epsilon; empty if none were asked for.
    """

    pair: PairNames
    match: LayerMatch
    certificates: Sequence[Certificate] = ()
    null: np.ndarray | None = None
    measures: Measures = field(default_factory=dict)
    minimal: Mapping[float, MinimalMatches] = field(default_factory=dict)

    @property
    def origin(self) -> LayerOrigin:
        """What the match was computed from."""
        return self.match.origin
