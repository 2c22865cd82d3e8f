"""The match of one pair of layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..matching.backends.base import Device
from ..matching.cross_fitted import CrossFittedPath, cross_fitted_path, held_out_path
from ..matching.measures.registry import Noted, noted_measures
from ..matching.path import MatchPath
from ..matching.reduction.halves import HalvedMoments
from ..matching.reduction.moments import PairMoments
from ..matching.validation import FewSamplesWarning
from ..storage.match_files import Resampled

if TYPE_CHECKING:
    from ..networks.layer_info import LayerInfo


@dataclass(frozen=True, eq=False, repr=False)
class LayerComparison:
    """The match of one layer of A with one layer of B.

    Attributes:
        name: its key in the comparison.
        layer_a, layer_b: the layers.
        path: the maximum matches at every epsilon.
        halves: moments of two random halves of the inputs; ``halves.whole`` is ``pair``.
    """

    name: str
    layer_a: LayerInfo
    layer_b: LayerInfo
    path: MatchPath
    halves: HalvedMoments
    _resampled: Resampled | None
    _device: Device

    def __repr__(self) -> str:
        return f"<LayerComparison {self.name}: {self.path!r}>"

    @property
    def pair(self) -> PairMoments:
        """The moments of both layers."""
        return self.path.pair

    @property
    def null(self) -> np.ndarray | None:
        """Critical epsilons with B's inputs permuted, (permutations, n_a + n_b) float64.

        None without permutations.
        """
        return None if self._resampled is None else self._resampled.any_image

    @property
    def class_null(self) -> np.ndarray | None:
        """The same with B's inputs permuted only among inputs of one label.

        None also if there are no labels, or too few inputs of a class are sampled at the same
        places.
        """
        return None if self._resampled is None else self._resampled.within_class

    @property
    def inputs(self) -> int:
        """Number of inputs that the samples come from."""
        return sum(self.halves.images)

    @property
    def neurons_per_input(self) -> float:
        """Number of neurons of the wider layer, divided by the number of inputs."""
        return max(self.pair.neurons_x, self.pair.neurons_y) / self.inputs

    @cached_property
    def cross_fitted(self) -> CrossFittedPath:
        """The path by distances that are not flattered by few inputs; see ``cross_fitted_path``.

        If there are too few inputs for it, its numbers are NaN and its ``note`` says why.
        """
        return self._on_halves(cross_fitted_path)

    @cached_property
    def held_out(self) -> CrossFittedPath:
        """The path by distances on inputs on which nothing was fitted; see ``held_out_path``."""
        return self._on_halves(held_out_path)

    def _on_halves(self, find: Callable[..., CrossFittedPath]) -> CrossFittedPath:
        with warnings.catch_warnings():
            # ``compare`` warned of fewer than five inputs per neuron; this needs two.
            warnings.simplefilter("ignore", FewSamplesWarning)
            return find(self.halves, device=self._device)

    @cached_property
    def measures(self) -> dict[str, Noted]:
        """Values of the other measures by name, with a note where one is NaN."""
        return noted_measures(self.pair)


def resampled(layer: LayerComparison) -> Resampled | None:
    """Return the layer with B's inputs permuted, as files and tables take it."""
    return layer._resampled
