"""What the match of a layer leaves on disk: its match paths, and the moments they were made from.

A layer that was recorded in several draws has a path and moments of each, in one file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .artefacts import read_arrays, write_arrays
from .matching.minimal_sets import MinimalMatches
from .matching.moments import PairMoments
from .matching.path import MatchPath

_SCALARS = ("neurons_x", "samples", "well_conditioned")
_MATCH_ARRAYS = (
    "removal_order",
    *(f"{kind}_{side}" for kind in ("critical_epsilon", "norm") for side in "ab"),
)


@dataclass(frozen=True)
class LayerMatch:
    """One layer of one pair of networks, matched on one draw of its positions.

    Attributes:
        critical_epsilon: (n_a,) and (n_b,) float64, NaN for a dead neuron.
        norm: Euclidean norm of each neuron's activation vector, likewise.
        removal_order: as of ``MatchPath``.
        about: the layer (name, node, depth, kind, samples), the draw, and what the match was made
            from: digest, networks and checkpoints.
    """

    critical_epsilon: tuple[np.ndarray, np.ndarray]
    norm: tuple[np.ndarray, np.ndarray]
    removal_order: np.ndarray
    about: dict[str, Any]

    @classmethod
    def of(cls, path: MatchPath, about: Mapping[str, Any]) -> LayerMatch:
        """The match that a path is, with the record of what it was made from."""
        norms, neurons_x = path.pair.norms, path.pair.neurons_x
        return cls(
            (path.critical_epsilon_x, path.critical_epsilon_y),
            (norms[:neurons_x], norms[neurons_x:]),
            path.removal_order,
            dict(about),
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """By the names that a file has for them."""
        arrays = {"removal_order": self.removal_order}
        for side, critical, norm in zip("ab", self.critical_epsilon, self.norm, strict=True):
            arrays |= {
                f"critical_epsilon_{side}": critical,
                f"norm_{side}": norm,
                f"dead_{side}": np.isnan(critical),
            }
        return arrays


def save_matches(path: str | Path, matches: Sequence[LayerMatch], about: Mapping[str, Any]) -> None:
    """Write a layer's matches, a draw each in order, and what they were made from."""
    arrays = [match.arrays() for match in matches]
    write_arrays(path, _numbered(arrays), {**about, "draws": len(arrays)})


def load_matches(path: str | Path) -> list[LayerMatch]:
    """Read what ``save_matches`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    arrays, about = read_arrays(path)
    matches = []
    for draw in range(about.pop("draws")):
        own = {name: arrays[f"draw_{draw}/{name}"] for name in _MATCH_ARRAYS}
        critical = own["critical_epsilon_a"], own["critical_epsilon_b"]
        norm = own["norm_a"], own["norm_b"]
        matches.append(LayerMatch(critical, norm, own["removal_order"], about | {"draw": draw}))
    return matches


def origin(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, str]:
    """The part of a record that says which networks a result is of, from both stores' records."""
    return {
        f"{key}_{side}": about[key]
        for side, about in (("a", a), ("b", b))
        for key in ("network", "checkpoint")
    }


def check_origin(
    about: Mapping[str, Any], path: str, digest: str, checkpoints: Mapping[str, str]
) -> None:
    """Raise a ValueError unless a file was made from these very networks.

    Args:
        about: the record of what the file was made from.
        path: of the file, named in the error.
        digest: of the configuration that it is to be of.
        checkpoints: SHA-256 of each network's checkpoint as it is now, by the network's key.
    """
    sides = [side for side in ("", "_a", "_b") if f"network{side}" in about]
    made_from = (about["digest"], *(about[f"checkpoint{side}"] for side in sides))
    expected = (digest, *(checkpoints.get(about[f"network{side}"]) for side in sides))
    if made_from != expected:
        raise ValueError(
            f"{path}: expected a result of digest and checkpoints {expected}, found {made_from};"
            " the networks have changed since: remove it and the activations it was made from and"
            " run again"
        )


def save_moments(path: str | Path, pairs: Sequence[PairMoments], about: Mapping[str, Any]) -> None:
    """Write a layer's moments, a draw each in order, and what they were made from."""
    arrays = [
        {
            # One is symmetric, the other upper triangular.
            "second_moments": pair.second_moments[np.triu_indices(len(pair.sums))],
            "factor": pair.factor[np.triu_indices(*_shape(pair.factor))],
            "factor_shape": np.array(pair.factor.shape),
            "sums": pair.sums,
            "length_products": pair.length_products,
        }
        for pair in pairs
    ]
    draws = [{key: getattr(pair, key) for key in _SCALARS} for pair in pairs]
    write_arrays(path, _numbered(arrays), {**about, "draws": draws})


def load_moments(path: str | Path, draw: int = 0) -> tuple[PairMoments, dict[str, Any]]:
    """Read one draw's moments of what ``save_moments`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    prefix = f"draw_{draw}/"
    stored, about = read_arrays(path, prefix)
    arrays = {name.removeprefix(prefix): array for name, array in stored.items()}
    width = len(arrays["sums"])
    moments, factor = np.zeros((width, width)), np.zeros(arrays["factor_shape"])
    moments[np.triu_indices(width)] = arrays["second_moments"]
    factor[np.triu_indices(*_shape(factor))] = arrays["factor"]
    pair = PairMoments(
        second_moments=moments + np.triu(moments, 1).T,
        sums=arrays["sums"],
        length_products=arrays["length_products"],
        factor=factor,
        **about.pop("draws")[draw],
    )
    return pair, about | {"draw": draw}


def save_minimal_matches(
    path: str | Path, minimal: MinimalMatches, about: Mapping[str, Any]
) -> None:
    """Write a layer's minimal matches, and the record of what they were made from, to one file."""
    arrays = {"distinct": np.packbits(minimal.distinct, axis=1), "match_of": minimal.match_of}
    write_arrays(path, arrays, {**about, "neurons_x": minimal.neurons_x})


def load_minimal_matches(path: str | Path) -> tuple[MinimalMatches, dict[str, Any]]:
    """Read what ``save_minimal_matches`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    arrays, about = read_arrays(path)
    match_of = arrays["match_of"]
    distinct = np.unpackbits(arrays["distinct"], axis=1, count=len(match_of)).astype(bool)
    return MinimalMatches(about.pop("neurons_x"), distinct, match_of), about


def _numbered(draws: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {
        f"draw_{draw}/{name}": array
        for draw, arrays in enumerate(draws)
        for name, array in arrays.items()
    }


def _shape(matrix: np.ndarray) -> tuple[int, int, int]:
    """Arguments of ``triu_indices`` for a matrix of any shape."""
    return matrix.shape[0], 0, matrix.shape[1]
