"""Files of the results of layers: matches, moments, certificates, measures, nulls, minimal matches.

A job computes a group of layers, each in several draws of positions. Its file has a part for each
layer and draw. All functions that load a file raise a ValueError that names the file if it is
damaged or an origin in it is not valid. They keep the order in which parts were saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..matching.certificate import Certificate
from ..matching.cross_fitted import CrossFittedPath
from ..matching.minimal.result import MinimalMatches
from ..matching.path import MatchPath
from ..matching.reduction.moments import PairMoments
from .files import new_arrays, read_arrays
from .result_origin import LayerOrigin

if TYPE_CHECKING:
    from ..matching.null import NullNeurons  # decides the nulls only, not all that is read here

# The arrays and the other values (JSON) of one layer and draw, each by name.
Part = tuple[Mapping[str, np.ndarray], Mapping[str, Any]]
Measures = Mapping[str, tuple[float, str]]  # value and note of each measure, by name
_SCALARS = (
    *("neurons_x", "samples", "well_conditioned", "centred"),
    *("moment_error", "column_error", "tie_margin"),
)
_FACTORS = "factor", "centred_factor"  # of PairMoments; the second one may have a row less


def _save(path: str | Path, parts: Iterable[tuple[LayerOrigin, Part]]) -> None:
    """Write parts as they come; none is kept, so ``parts`` may compute one after another."""
    record: dict[str, Any] = {}
    with new_arrays(path, {"parts": record}) as write:
        for part in parts:
            _write(part, write, record)
            del part  # before the next one is computed


def _write(
    part: tuple[LayerOrigin, Part], write: Callable[[str, Any], None], record: dict[str, Any]
) -> None:
    origin, (arrays, values) = part
    prefix = _prefix(origin.layer, origin.draw)
    for name, array in arrays.items():
        write(prefix + name, array)
    record[prefix] = {"origin": asdict(origin), "values": values}


def _load(path: str | Path, prefix: str = "") -> dict[LayerOrigin, Part]:
    """Read the parts whose names begin with ``prefix``."""
    stored, record = read_arrays(path, prefix)
    arrays: dict[str, dict[str, np.ndarray]] = {}
    for key, array in stored.items():
        part, _, name = key.rpartition("/")
        arrays.setdefault(f"{part}/", {})[name] = array
    return {
        LayerOrigin.from_record(entry.get("origin"), path): (arrays[part], entry["values"])
        for part, entry in record["parts"].items()
        if part.startswith(prefix)
    }


def _prefix(layer: str, draw: int) -> str:
    """Return the beginning of the names of a part's arrays."""
    return f"{layer}/draw_{draw}/"


@dataclass(frozen=True)
class NewImages:
    """How a layer matches on images on which nothing was fitted.

    Attributes:
        images: number of images of all samples.
        cross_fitted: critical epsilons by cross-fitted distance, A's neurons before B's,
            (n_a + n_b,) float64; NaN for dead neurons, and for all if there are too few images.
        held_out: the same by held-out distance.
        note: why all are NaN; otherwise empty.
    """

    images: int
    cross_fitted: np.ndarray
    held_out: np.ndarray
    note: str

    @classmethod
    def from_paths(
        cls, cross_fitted: CrossFittedPath, held_out: CrossFittedPath, images: int
    ) -> NewImages:
        """Build from both paths and the number of images."""
        critical = cross_fitted.critical_epsilon, held_out.critical_epsilon
        return cls(images, *critical, cross_fitted.note)


@dataclass(frozen=True)
class LayerMatch:
    """The match path of one layer of networks A and B, in one draw of positions."""

    critical_epsilon: tuple[np.ndarray, np.ndarray]  # (n_a,), (n_b,) float64; NaN for dead neurons
    norm: tuple[np.ndarray, np.ndarray]  # of each activation vector, Euclidean; (n_a,), (n_b,)
    removal_order: np.ndarray  # as in ``MatchPath``
    origin: LayerOrigin
    new_images: NewImages | None = None  # None if nobody knows the images of the samples

    @classmethod
    def from_path(
        cls, path: MatchPath, origin: LayerOrigin, new_images: NewImages | None = None
    ) -> LayerMatch:
        """Build from a ``MatchPath``, its origin, and how it fares on new images."""
        norms, neurons_x = path.pair.norms, path.pair.neurons_x
        critical = path.critical_epsilon_x, path.critical_epsilon_y
        norm = norms[:neurons_x], norms[neurons_x:]
        return cls(critical, norm, path.removal_order, origin, new_images)

    def path(self, moments: str | Path) -> MatchPath:
        """Return the ``MatchPath``, with its moments from their file.

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
    parts: dict[LayerOrigin, Part] = {}
    for match in matches:
        arrays = {"removal_order": match.removal_order}
        for side, critical, norm in zip("ab", match.critical_epsilon, match.norm, strict=True):
            own = {"critical_epsilon": critical, "norm": norm, "dead": np.isnan(critical)}
            arrays |= {f"{name}_{side}": array for name, array in own.items()}
        values: dict[str, Any] = {}
        if new := match.new_images:
            arrays |= {"cross_fitted": new.cross_fitted, "held_out": new.held_out}
            values = {"images": new.images, "note": new.note}
        parts[match.origin] = arrays, values
    _save(path, parts.items())


def load_matches(path: str | Path) -> dict[LayerOrigin, LayerMatch]:
    """Read what ``save_matches`` wrote."""
    return {
        origin: LayerMatch(
            (arrays["critical_epsilon_a"], arrays["critical_epsilon_b"]),
            (arrays["norm_a"], arrays["norm_b"]),
            arrays["removal_order"],
            origin,
            NewImages(values["images"], arrays["cross_fitted"], arrays["held_out"], values["note"])
            if values
            else None,
        )
        for origin, (arrays, values) in _load(path).items()
    }


def save_moments(path: str | Path, moments: Iterable[tuple[LayerOrigin, PairMoments]]) -> None:
    """Write the moments of several layers and draws, one after another.

    Args:
        path: of the file.
        moments: origin and moments of each; only one at a time is in memory.
    """
    _save(path, map(_moments_part, moments))


def _moments_part(moments: tuple[LayerOrigin, PairMoments]) -> tuple[LayerOrigin, Part]:
    origin, pair = moments
    # The moments are symmetric, and the factors upper triangular.
    arrays = {
        "second_moments": pair.second_moments[_upper(pair.second_moments.shape)],
        "sums": pair.sums,
        "length_products": pair.length_products,
    }
    for name in _FACTORS:
        factor = getattr(pair, name)
        if factor is not None:
            arrays |= {name: factor[_upper(factor.shape)], f"{name}_shape": np.array(factor.shape)}
    return origin, (arrays, {key: getattr(pair, key) for key in _SCALARS})


def load_moments(path: str | Path, layer: str, draw: int = 0) -> tuple[LayerOrigin, PairMoments]:
    """Read the moments of one layer and draw."""
    ((origin, (arrays, values)),) = _load(path, _prefix(layer, draw)).items()
    moments = _triangular(arrays["second_moments"], (len(arrays["sums"]),) * 2)
    factor, centred = (
        _triangular(arrays[name], arrays[f"{name}_shape"]) if name in arrays else None
        for name in _FACTORS
    )
    assert factor is not None
    return origin, PairMoments(
        second_moments=moments + np.triu(moments, 1).T,
        sums=arrays["sums"],
        length_products=arrays["length_products"],
        factor=factor,
        centred_factor=centred,
        **values,
    )


def _upper(shape: Sequence[int] | np.ndarray) -> np.ndarray:
    """Mark the entries of a matrix on and above its diagonal."""
    return np.triu(np.ones(shape, bool))


def _triangular(entries: np.ndarray, shape: Sequence[int] | np.ndarray) -> np.ndarray:
    matrix = np.zeros(shape)
    matrix[_upper(shape)] = entries
    return matrix


def save_certificates(
    path: str | Path, certificates: Mapping[LayerOrigin, Sequence[Certificate]]
) -> None:
    """Write the certificates of several layers and draws, one per epsilon."""
    columns = [field.name for field in fields(Certificate) if field.name != "neuron"]
    parts: dict[LayerOrigin, Part] = {}
    for origin, found in certificates.items():
        arrays = {key: np.array([getattr(each, key) for each in found]) for key in columns}
        parts[origin] = arrays, {"neurons": [each.neuron for each in found]}
    _save(path, parts.items())


def load_certificates(path: str | Path) -> dict[LayerOrigin, list[Certificate]]:
    """Read what ``save_certificates`` wrote."""
    certificates = {}
    for origin, (arrays, values) in _load(path).items():
        rows = zip(*(array.tolist() for array in arrays.values()), strict=True)
        certificates[origin] = [
            Certificate(**dict(zip(arrays, row, strict=True)), neuron=neuron and tuple(neuron))
            for row, neuron in zip(rows, values["neurons"], strict=True)
        ]
    return certificates


def save_measures(path: str | Path, measures: Mapping[LayerOrigin, Measures]) -> None:
    """Write the other measures of several layers."""
    parts: dict[LayerOrigin, Part] = {}
    for origin, found in measures.items():
        values = {name: np.array(value) for name, (value, _) in found.items()}
        parts[origin] = values, {name: note for name, (_, note) in found.items()}
    _save(path, parts.items())


def load_measures(path: str | Path) -> dict[LayerOrigin, Measures]:
    """Read what ``save_measures`` wrote."""
    return {
        origin: {name: (value.item(), notes[name]) for name, value in values.items()}
        for origin, (values, notes) in _load(path).items()
    }


@dataclass(frozen=True)
class Resampled:
    """Critical epsilons of a layer that is matched again: images permuted, and halves of them.

    Each array has a row per permutation or half of the images, and as columns the neurons of A,
    then those of B; NaN for dead neurons.

    Attributes:
        any_image: network B's images permuted, (permutations, n_a + n_b) float64.
        any_image_distance: under the permutations of ``any_image``, each neuron's distance from all
            neurons of the other network.
        within_class: as ``any_image``, among images of one label; None if the images have no
            labels.
        within_class_distance: as ``any_image_distance``, under the permutations of
            ``within_class``; None without them.
        half_images: on half of the images, then on the other half, of several divisions, (halves,
            n_a + n_b); None if there are too few samples.
    """

    any_image: np.ndarray
    any_image_distance: np.ndarray
    within_class: np.ndarray | None = None
    within_class_distance: np.ndarray | None = None
    half_images: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        any_image: NullNeurons,
        within_class: NullNeurons | None = None,
        *,
        half_images: np.ndarray | None = None,
    ) -> Resampled:
        """Build from the neurons under each kind of permutations."""
        within, of_within = (None, None) if within_class is None else within_class
        return cls(*any_image, within, of_within, half_images)


def save_nulls(path: str | Path, nulls: Mapping[LayerOrigin, Resampled]) -> None:
    """Write what was found with images permuted and on halves of them, of several layers."""
    parts: dict[LayerOrigin, Part] = {
        origin: ({name: own for name, own in vars(null).items() if own is not None}, {})
        for origin, null in nulls.items()
    }
    _save(path, parts.items())


def load_nulls(path: str | Path) -> dict[LayerOrigin, Resampled]:
    """Read what ``save_nulls`` wrote.

    Raises:
        ValueError: also if an older version wrote the file, without the distances.
    """
    nulls = {}
    for origin, (arrays, _) in _load(path).items():
        for name in ("any_image", "within_class"):
            if name in arrays and f"{name}_distance" not in arrays:
                raise ValueError(
                    f"{path}: expected {name} and {name}_distance for {origin.layer}, found"
                    f" {', '.join(arrays)}, as older versions wrote; remove the file and run the"
                    " null again"
                )
        nulls[origin] = Resampled(**arrays)
    return nulls


def save_consensus(path: str | Path, consensus: Mapping[LayerOrigin, Sequence[np.ndarray]]) -> None:
    """Write the consensus of several layers: critical epsilons (neurons,) of each network."""
    parts: dict[LayerOrigin, Part] = {}
    for origin, critical in consensus.items():
        parts[origin] = {f"critical_epsilon_{n}": own for n, own in enumerate(critical)}, {}
    _save(path, parts.items())


def load_consensus(path: str | Path) -> dict[LayerOrigin, list[np.ndarray]]:
    """Read what ``save_consensus`` wrote."""
    return {
        origin: [arrays[f"critical_epsilon_{n}"] for n in range(len(origin.networks))]
        for origin, (arrays, _) in _load(path).items()
    }


def save_minimal_matches(
    path: str | Path, epsilon: float, minimal: Mapping[LayerOrigin, MinimalMatches]
) -> None:
    """Write the minimal matches of several layers at one epsilon."""
    parts: dict[LayerOrigin, Part] = {}
    for origin, found in minimal.items():
        bits = np.packbits(found.distinct, axis=1)
        arrays = {"distinct": bits, "match_of": found.match_of}
        if found.sizes_by_order is not None:
            arrays["sizes_by_order"] = found.sizes_by_order
        parts[origin] = arrays, {"neurons_x": found.neurons_x, "epsilon": epsilon}
    _save(path, parts.items())


def load_minimal_matches(path: str | Path) -> dict[LayerOrigin, tuple[float, MinimalMatches]]:
    """Read the epsilon and the minimal matches of each layer."""
    minimal = {}
    for origin, (arrays, values) in _load(path).items():
        match_of = arrays["match_of"]
        bits = np.unpackbits(arrays["distinct"], axis=1, count=len(match_of))
        sizes = arrays.get("sizes_by_order")
        found = MinimalMatches(values["neurons_x"], bits.astype(bool), match_of, sizes)
        minimal[origin] = values["epsilon"], found
    return minimal
