"""Files of the results of single layers: matches, moments, certificates, measures and others.

One job computes a group of layers, each in several draws of positions. A file of such a job has a
``Part`` for each layer and draw: its origin and its arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..matching.certificate import Certificate
from ..matching.minimal.result import MinimalMatches
from ..matching.path import MatchPath
from ..matching.reduction.moments import PairMoments
from .files import read_arrays, write_arrays
from .result_origin import LayerOrigin

_SCALARS = (
    *("neurons_x", "samples", "well_conditioned", "centred"),
    *("moment_error", "column_error", "tie_margin"),
)


@dataclass(frozen=True)
class Part:
    """One layer and draw of a file: its origin, arrays by name, and other values as JSON."""

    origin: LayerOrigin
    arrays: Mapping[str, np.ndarray]
    values: Mapping[str, Any] = field(default_factory=dict)


def save_parts(path: str | Path, parts: Iterable[Part]) -> None:
    """Write parts to one file."""
    arrays: dict[str, np.ndarray] = {}
    record: dict[str, Any] = {}
    for part in parts:
        prefix = _prefix(part.origin.layer, part.origin.draw)
        arrays |= {prefix + name: array for name, array in part.arrays.items()}
        record[prefix] = {"origin": asdict(part.origin), "values": dict(part.values)}
    write_arrays(path, arrays, {"parts": record})


def load_parts(path: str | Path, prefix: str = "") -> list[Part]:
    """Read the parts of a file whose names begin with ``prefix``, in the order of writing.

    Raises:
        ValueError: if the file is damaged or an origin is not valid, naming the file.
    """
    stored, record = read_arrays(path, prefix)
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for key, array in stored.items():
        name = key.rpartition("/")[2]
        arrays.setdefault(key.removesuffix(name), {})[name] = array
    return [
        Part(LayerOrigin.from_record(entry.get("origin"), path), arrays[name], entry["values"])
        for name, entry in record["parts"].items()
        if name.startswith(prefix)
    ]


def _prefix(layer: str, draw: int) -> str:
    """Return what the names of a part's arrays begin with."""
    return f"{layer}/draw_{draw}/"


@dataclass(frozen=True)
class LayerMatch:
    """The match path of one layer of two networks, in one draw of positions.

    Attributes:
        critical_epsilon: (n_a,) and (n_b,) float64, NaN for a dead neuron.
        norm: (n_a,) and (n_b,) float64, Euclidean norm of each neuron's activation vector.
        removal_order: as in ``MatchPath``.
        origin: what the match was computed from.
    """

    critical_epsilon: tuple[np.ndarray, np.ndarray]
    norm: tuple[np.ndarray, np.ndarray]
    removal_order: np.ndarray
    origin: LayerOrigin

    @classmethod
    def from_path(cls, path: MatchPath, origin: LayerOrigin) -> LayerMatch:
        """Build from a ``MatchPath`` and its origin."""
        norms, neurons_x = path.pair.norms, path.pair.neurons_x
        critical = path.critical_epsilon_x, path.critical_epsilon_y
        return cls(critical, (norms[:neurons_x], norms[neurons_x:]), path.removal_order, origin)

    def path(self, moments: str | Path) -> MatchPath:
        """Return the ``MatchPath``, whose moments are read from their file.

        Raises:
            ValueError: if the file is damaged, or its moments have another origin.
        """
        origin, pair = load_moments(moments, self.origin.layer, self.origin.draw)
        if origin != self.origin:
            raise ValueError(
                f"{moments}: expected the moments of the match path beside it, of {self.origin},"
                f" found those of {origin}; remove both files and run again"
            )
        return MatchPath(*self.critical_epsilon, self.removal_order, pair)


def save_matches(path: str | Path, matches: Iterable[LayerMatch]) -> None:
    """Write the matches of several layers and draws."""
    save_parts(path, (Part(match.origin, _match_arrays(match)) for match in matches))


def _match_arrays(match: LayerMatch) -> dict[str, np.ndarray]:
    arrays = {"removal_order": match.removal_order}
    for side, critical, norm in zip("ab", match.critical_epsilon, match.norm, strict=True):
        own = {"critical_epsilon": critical, "norm": norm, "dead": np.isnan(critical)}
        arrays |= {f"{name}_{side}": array for name, array in own.items()}
    return arrays


def load_matches(path: str | Path) -> dict[LayerOrigin, LayerMatch]:
    """Read what ``save_matches`` wrote; see ``load_parts`` for errors."""
    return {
        part.origin: LayerMatch(
            (part.arrays["critical_epsilon_a"], part.arrays["critical_epsilon_b"]),
            (part.arrays["norm_a"], part.arrays["norm_b"]),
            part.arrays["removal_order"],
            part.origin,
        )
        for part in load_parts(path)
    }


def save_moments(path: str | Path, moments: Mapping[LayerOrigin, PairMoments]) -> None:
    """Write the moments of several layers and draws."""
    save_parts(
        path,
        (
            Part(origin, _moment_arrays(pair), {key: getattr(pair, key) for key in _SCALARS})
            for origin, pair in moments.items()
        ),
    )


def _moment_arrays(pair: PairMoments) -> dict[str, np.ndarray]:
    # The moments are symmetric; both factors are upper triangular and have the same shape.
    upper = _upper_indices(pair.factor.shape)
    arrays = {
        "second_moments": pair.second_moments[np.triu_indices(len(pair.sums))],
        "factor": pair.factor[upper],
        "factor_shape": np.array(pair.factor.shape),
        "sums": pair.sums,
        "length_products": pair.length_products,
    }
    if pair.centred_factor is not None:
        arrays["centred_factor"] = pair.centred_factor[upper]
    return arrays


def load_moments(path: str | Path, layer: str, draw: int = 0) -> tuple[LayerOrigin, PairMoments]:
    """Read the moments of one layer and draw; see ``load_parts`` for errors."""
    (part,) = load_parts(path, _prefix(layer, draw))
    arrays = part.arrays
    moments = _triangular(arrays["second_moments"], (len(arrays["sums"]),) * 2)
    centred = arrays.get("centred_factor")
    return part.origin, PairMoments(
        second_moments=moments + np.triu(moments, 1).T,
        sums=arrays["sums"],
        length_products=arrays["length_products"],
        factor=_triangular(arrays["factor"], arrays["factor_shape"]),
        centred_factor=None if centred is None else _triangular(centred, arrays["factor_shape"]),
        **part.values,
    )


def _triangular(entries: np.ndarray, shape: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the matrix with these entries on and above its diagonal, and zeros below."""
    matrix = np.zeros(shape)
    matrix[_upper_indices(matrix.shape)] = entries
    return matrix


def _upper_indices(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = shape
    return np.triu_indices(rows, 0, columns)


def save_certificates(
    path: str | Path, certificates: Mapping[LayerOrigin, Sequence[Certificate]]
) -> None:
    """Write the certificates of several layers and draws, one per epsilon."""
    columns = [field.name for field in fields(Certificate) if field.name != "neuron"]
    save_parts(
        path,
        (
            Part(
                origin,
                {key: np.array([getattr(each, key) for each in found]) for key in columns},
                {"neurons": [each.neuron for each in found]},
            )
            for origin, found in certificates.items()
        ),
    )


def load_certificates(path: str | Path) -> dict[LayerOrigin, list[Certificate]]:
    """Read what ``save_certificates`` wrote; see ``load_parts`` for errors."""
    certificates = {}
    for part in load_parts(path):
        rows = zip(*(array.tolist() for array in part.arrays.values()), strict=True)
        certificates[part.origin] = [
            Certificate(**dict(zip(part.arrays, row, strict=True)), neuron=neuron and tuple(neuron))
            for row, neuron in zip(rows, part.values["neurons"], strict=True)
        ]
    return certificates


Measures = Mapping[str, tuple[float, str]]  # value and note of each measure, by name


def save_measures(path: str | Path, measures: Mapping[LayerOrigin, Measures]) -> None:
    """Write the other measures of several layers."""
    save_parts(
        path,
        (
            Part(
                origin,
                {name: np.array(value) for name, (value, _) in found.items()},
                {name: note for name, (_, note) in found.items()},
            )
            for origin, found in measures.items()
        ),
    )


def load_measures(path: str | Path) -> dict[LayerOrigin, Measures]:
    """Read what ``save_measures`` wrote; see ``load_parts`` for errors."""
    return {
        part.origin: {name: (v.item(), part.values[name]) for name, v in part.arrays.items()}
        for part in load_parts(path)
    }


def save_nulls(path: str | Path, nulls: Mapping[LayerOrigin, np.ndarray]) -> None:
    """Write the null of several layers: critical epsilons (permutations, n_a + n_b)."""
    parts = (Part(origin, {"critical_epsilon": null}) for origin, null in nulls.items())
    save_parts(path, parts)


def load_nulls(path: str | Path) -> dict[LayerOrigin, np.ndarray]:
    """Read what ``save_nulls`` wrote; see ``load_parts`` for errors."""
    return {part.origin: part.arrays["critical_epsilon"] for part in load_parts(path)}


def save_minimal_matches(
    path: str | Path, epsilon: float, minimal: Mapping[LayerOrigin, MinimalMatches]
) -> None:
    """Write the minimal matches of several layers at one epsilon."""
    save_parts(
        path,
        (
            Part(
                origin,
                {"distinct": np.packbits(found.distinct, axis=1), "match_of": found.match_of},
                {"neurons_x": found.neurons_x, "epsilon": epsilon},
            )
            for origin, found in minimal.items()
        ),
    )


def load_minimal_matches(path: str | Path) -> dict[LayerOrigin, tuple[float, MinimalMatches]]:
    """Read the epsilon and the minimal matches of each layer; see ``load_parts`` for errors."""
    minimal = {}
    for part in load_parts(path):
        match_of = part.arrays["match_of"]
        bits = np.unpackbits(part.arrays["distinct"], axis=1, count=len(match_of))
        found = MinimalMatches(part.values["neurons_x"], bits.astype(bool), match_of)
        minimal[part.origin] = part.values["epsilon"], found
    return minimal
