"""What the match of a layer leaves on disk: its match path, and the moments it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .artefacts import read_arrays, write_arrays
from .matching.measures import RowSquares
from .matching.minimal_sets import MinimalMatches
from .matching.moments import PairMoments
from .matching.path import MatchPath

_SCALARS = ("neurons_x", "samples", "well_conditioned")


@dataclass(frozen=True)
class LayerMatch:
    """One layer of one pair of networks, matched.

    Attributes:
        critical_epsilon: (n_a,) and (n_b,) float64, NaN for a dead neuron.
        norm: Euclidean norm of each neuron's activation vector, likewise.
        removal_order: as of ``MatchPath``.
        about: the layer (name, node, depth, kind, samples), the seeds, and what the match was
            made from: digests and checkpoints.
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

    def save(self, path: str | Path) -> None:
        """Write the match to one file."""
        arrays = {"removal_order": self.removal_order}
        for side, critical, norm in zip("ab", self.critical_epsilon, self.norm, strict=True):
            arrays |= {
                f"critical_epsilon_{side}": critical,
                f"norm_{side}": norm,
                f"dead_{side}": np.isnan(critical),
            }
        write_arrays(path, arrays, self.about)

    @classmethod
    def load(cls, path: str | Path) -> LayerMatch:
        """Read what ``save`` wrote.

        Raises:
            ValueError: if the file is damaged, naming it.
        """
        arrays, about = read_arrays(path)
        critical = arrays["critical_epsilon_a"], arrays["critical_epsilon_b"]
        return cls(critical, (arrays["norm_a"], arrays["norm_b"]), arrays["removal_order"], about)


def check_origin(
    about: Mapping[str, Any], path: str, digest: str, checkpoints: Mapping[int, str]
) -> None:
    """Raise a ValueError unless a file was made from these very networks.

    Args:
        about: the record of what the file was made from.
        path: of the file, named in the error.
        digest: of the configuration that it is to be of.
        checkpoints: SHA-256 of each seed's checkpoint as it is now.
    """
    seeds = about["seed_a"], about["seed_b"]
    made_from = (about["digest"], about["checkpoint_a"], about["checkpoint_b"])
    expected = (digest, *(checkpoints.get(seed) for seed in seeds))
    if made_from != expected:
        raise ValueError(
            f"{path}: expected a result of digest and checkpoints {expected}, found {made_from};"
            " the networks have changed since: remove it and the activations it was made from and"
            " run again"
        )


def save_moments(
    path: str | Path, pair: PairMoments, rows: RowSquares, about: Mapping[str, Any]
) -> None:
    """Write a pair's moments, and the record of what they were made from, to one file."""
    arrays = {
        # One is symmetric, the other upper triangular.
        "second_moments": pair.second_moments[np.triu_indices(len(pair.sums))],
        "factor": pair.factor[np.triu_indices(*_shape(pair.factor))],
        "factor_shape": np.array(pair.factor.shape),
        "sums": pair.sums,
        **{f"rows_{field.name}": getattr(rows, field.name) for field in fields(RowSquares)},
    }
    write_arrays(path, arrays, {**about, **{key: getattr(pair, key) for key in _SCALARS}})


def load_moments(path: str | Path) -> tuple[PairMoments, RowSquares, dict[str, Any]]:
    """Read what ``save_moments`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    arrays, about = read_arrays(path)
    width = len(arrays["sums"])
    moments, factor = np.zeros((width, width)), np.zeros(arrays["factor_shape"])
    moments[np.triu_indices(width)] = arrays["second_moments"]
    factor[np.triu_indices(*_shape(factor))] = arrays["factor"]
    pair = PairMoments(
        second_moments=moments + np.triu(moments, 1).T,
        sums=arrays["sums"],
        factor=factor,
        **{key: about.pop(key) for key in _SCALARS},
    )
    rows = RowSquares(*(arrays[f"rows_{field.name}"] for field in fields(RowSquares)))
    return pair, rows, about


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


def _shape(matrix: np.ndarray) -> tuple[int, int, int]:
    """Arguments of ``triu_indices`` for a matrix of any shape."""
    return matrix.shape[0], 0, matrix.shape[1]
