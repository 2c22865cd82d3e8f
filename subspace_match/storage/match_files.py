"""What matching leaves on disk: match paths, moments, certificates, nulls and minimal matches.

One job does several layers, each recorded in several draws of positions. Its file has a part for
each layer and draw: arrays, and the record of what they were made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..matching.certificate import Certificate
from ..matching.minimal.result import MinimalMatches
from ..matching.path import MatchPath
from ..matching.reduction.moments import PairMoments
from .files import read_arrays, write_arrays

_SCALARS = (
    *("neurons_x", "samples", "well_conditioned", "centred"),
    *("moment_error", "column_error", "tie_margin"),
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

    def path(self, moments: str | Path) -> MatchPath:
        """The match path with the moments that it was made from, read from their file.

        Raises:
            ValueError: if the file is damaged, or its moments were made from something else.
        """
        pair, about = load_moments(moments, self.about["layer"], self.about["draw"])
        if about != self.about:
            raise ValueError(
                f"{moments}: expected the moments of the match path beside it, made from"
                f" {self.about}, found those of {about}; remove both and run again"
            )
        return MatchPath(*self.critical_epsilon, self.removal_order, pair)

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


Part = tuple[dict[str, np.ndarray], dict[str, Any]]


def save_parts(
    path: str | Path, parts: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> None:
    """Write parts to one file: arrays by name, and a record that names the layer and the draw."""
    stored: dict[str, Any] = {}
    abouts: dict[str, Mapping[str, Any]] = {}
    for arrays, about in parts:
        part = _part(about["layer"], about["draw"])
        stored |= {part + name: array for name, array in arrays.items()}
        abouts[part] = about
    write_arrays(path, stored, {"parts": abouts})


def load_parts(path: str | Path, part: str = "") -> list[Part]:
    """Read parts of a file, all of them if none is named, in the order in which they were written.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    stored, record = read_arrays(path, part)
    parts: dict[str, Part] = {
        name: ({}, about) for name, about in record["parts"].items() if name.startswith(part)
    }
    for key, array in stored.items():
        name = key.rpartition("/")[2]
        parts[key.removesuffix(name)][0][name] = array
    return list(parts.values())


def save_matches(path: str | Path, matches: Iterable[LayerMatch]) -> None:
    """Write matches of several layers and draws."""
    save_parts(path, ((match.arrays(), match.about) for match in matches))


def load_matches(path: str | Path) -> list[LayerMatch]:
    """Read what ``save_matches`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    return [
        LayerMatch(
            (arrays["critical_epsilon_a"], arrays["critical_epsilon_b"]),
            (arrays["norm_a"], arrays["norm_b"]),
            arrays["removal_order"],
            about,
        )
        for arrays, about in load_parts(path)
    ]


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


def save_moments(
    path: str | Path, moments: Iterable[tuple[PairMoments, Mapping[str, Any]]]
) -> None:
    """Write moments of several layers and draws, each with the record of what it was made from."""
    save_parts(
        path,
        (
            (_moment_arrays(pair), {**about, "pair": {key: getattr(pair, key) for key in _SCALARS}})
            for pair, about in moments
        ),
    )


def _moment_arrays(pair: PairMoments) -> dict[str, np.ndarray]:
    # The moments are symmetric, the factors upper triangular and of one shape.
    above = np.triu_indices(*_shape(pair.factor))
    arrays = {
        "second_moments": pair.second_moments[np.triu_indices(len(pair.sums))],
        "factor": pair.factor[above],
        "factor_shape": np.array(pair.factor.shape),
        "sums": pair.sums,
        "length_products": pair.length_products,
    }
    if pair.centred_factor is not None:
        arrays["centred_factor"] = pair.centred_factor[above]
    return arrays


def load_moments(path: str | Path, layer: str, draw: int = 0) -> tuple[PairMoments, dict[str, Any]]:
    """Read the moments of one layer and draw of what ``save_moments`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    ((arrays, about),) = load_parts(path, _part(layer, draw))
    moments = _upper(arrays["second_moments"], (len(arrays["sums"]),) * 2)
    centred = arrays.get("centred_factor")
    pair = PairMoments(
        second_moments=moments + np.triu(moments, 1).T,
        sums=arrays["sums"],
        length_products=arrays["length_products"],
        factor=_upper(arrays["factor"], arrays["factor_shape"]),
        centred_factor=None if centred is None else _upper(centred, arrays["factor_shape"]),
        **about.pop("pair"),
    )
    return pair, about


def save_certificates(
    path: str | Path, layers: Iterable[tuple[Sequence[Certificate], Mapping[str, Any]]]
) -> None:
    """Write the certificates of several layers and draws, one per epsilon."""
    columns = [field.name for field in fields(Certificate) if field.name != "neuron"]
    save_parts(
        path,
        (
            (
                {key: np.array([getattr(each, key) for each in found]) for key in columns},
                {**about, "neurons": [each.neuron for each in found]},
            )
            for found, about in layers
        ),
    )


def load_certificates(path: str | Path) -> list[tuple[list[Certificate], dict[str, Any]]]:
    """Read what ``save_certificates`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    layers = []
    for arrays, about in load_parts(path):
        rows = zip(*(array.tolist() for array in arrays.values()), strict=True)
        found = [
            Certificate(**dict(zip(arrays, row, strict=True)), neuron=neuron and tuple(neuron))
            for row, neuron in zip(rows, about.pop("neurons"), strict=True)
        ]
        layers.append((found, about))
    return layers


def save_minimal_matches(
    path: str | Path, layers: Iterable[tuple[MinimalMatches, Mapping[str, Any]]]
) -> None:
    """Write minimal matches of several layers, each with the record of what they were made from."""
    save_parts(
        path,
        (
            (
                {"distinct": np.packbits(minimal.distinct, axis=1), "match_of": minimal.match_of},
                {**about, "neurons_x": minimal.neurons_x},
            )
            for minimal, about in layers
        ),
    )


def load_minimal_matches(path: str | Path) -> list[tuple[MinimalMatches, dict[str, Any]]]:
    """Read what ``save_minimal_matches`` wrote.

    Raises:
        ValueError: if the file is damaged, naming it.
    """
    layers = []
    for arrays, about in load_parts(path):
        match_of = arrays["match_of"]
        distinct = np.unpackbits(arrays["distinct"], axis=1, count=len(match_of)).astype(bool)
        layers.append((MinimalMatches(about.pop("neurons_x"), distinct, match_of), about))
    return layers


def _part(layer: str, draw: int) -> str:
    """What the names of a part's arrays begin with."""
    return f"{layer}/draw_{draw}/"


def _upper(entries: np.ndarray, shape: Sequence[int] | np.ndarray) -> np.ndarray:
    """The matrix of a shape with these entries on and above its diagonal."""
    matrix = np.zeros(shape)
    matrix[np.triu_indices(*_shape(matrix))] = entries
    return matrix


def _shape(matrix: np.ndarray) -> tuple[int, int, int]:
    """Arguments of ``triu_indices`` for a matrix of any shape."""
    return matrix.shape[0], 0, matrix.shape[1]
