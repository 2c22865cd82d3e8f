"""Which layers are compared with which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from ..networks.layer_info import LayerInfo
from ..networks.wording import first_few


@dataclass(frozen=True)
class LayerPair:
    """Two layers to compare; ``name`` is the key of their result."""

    name: str
    a: LayerInfo
    b: LayerInfo

    @property
    def alike(self) -> bool:
        """Whether both have the same kind and the same positions."""
        return _size(self.a) == _size(self.b)


def pairs_of_layers(
    layers_a: Sequence[LayerInfo],
    layers_b: Sequence[LayerInfo] | None,
    wanted: Sequence[str | tuple[str, str]] | None,
) -> tuple[list[LayerPair], list[str]]:
    """Return the pairs of layers to compare, and the names of the layers that are in no pair.

    Args:
        layers_a: A's layers, in order of computation.
        layers_b: B's; None to compare A's layers with one another.
        wanted: names of layers, or shell patterns over their names and nodes, that both models
            have; or pairs (a layer of A, a layer of B). None for all layers: of two models those
            of the same name, kind and map size; of one model every two layers.

    Raises:
        ValueError: if there are no such layers.
    """
    others = layers_a if layers_b is None else layers_b
    names = [pattern for pattern in wanted or ["*"] if isinstance(pattern, str)]
    own = [layer for layer in layers_a if layer.fits(*names)]
    if layers_b is None:
        pairs = [LayerPair(f"{a.name}~{b.name}", a, b) for a, b in combinations(own, 2)]
    else:
        sizes = {layer.name: _size(layer) for layer in layers_b}
        pairs = [
            LayerPair(a.name, a, next(b for b in layers_b if b.name == a.name))
            for a in own
            if sizes.get(a.name) == _size(a)
        ]
    for pair in wanted or ():
        if isinstance(pair, str):
            _check_pattern(pair, [*layers_a, *others])
        else:
            a, b = (
                _named(name, side, layers)
                for name, side, layers in zip(pair, "ab", (layers_a, others), strict=True)
            )
            pairs.append(LayerPair(f"{a.name}~{b.name}", a, b))
    if not pairs:
        raise ValueError(_no_pairs(layers_a, layers_b))
    order_a, order_b = ({layer: n for n, layer in enumerate(own)} for own in (layers_a, others))
    pairs.sort(key=lambda pair: (order_a[pair.a], order_b[pair.b]))
    compared = {layer.name for pair in pairs for layer in (pair.a, pair.b)}
    named = dict.fromkeys(layer.name for layer in (*layers_a, *others))
    return pairs, [name for name in named if name not in compared]


def why_left_out(
    names: Sequence[str],
    layers_a: Sequence[LayerInfo],
    layers_b: Sequence[LayerInfo] | None,
    wanted: Sequence[str | tuple[str, str]] | None,
) -> str:
    """Say why layers are in no pair, as "conv3 (only in model_a); fc1, fc2 (not in layers)".

    Args:
        names: of these layers.
        layers_a: as for ``pairs_of_layers``.
        layers_b: as for ``pairs_of_layers``.
        wanted: as for ``pairs_of_layers``.
    """
    sides = [("model_a", layers_a), *([] if layers_b is None else [("model_b", layers_b)])]
    patterns = [pattern for pattern in wanted or ["*"] if isinstance(pattern, str)]
    groups: dict[str, list[str]] = {}
    for name in names:
        found = {side: own for side, layers in sides for own in layers if own.name == name}
        if not any(layer.fits(*patterns) for layer in found.values()):
            reason = "not in layers"
        elif len(found) == 1:
            reason = f"only in {next(iter(found))}"
        else:
            sizes = (f"{own.kind} {own.size_in_words} in {side}" for side, own in found.items())
            reason = ", ".join(sizes)
        groups.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(own)} ({reason})" for reason, own in groups.items())


def matching_work(neurons: int) -> float:
    """Return about what it takes to match layers with this many neurons together, in any unit.

    Work on single neurons takes most of the time up to about 1,000, and products of matrices above.
    """
    return float(neurons) * (neurons + 1000)


def _size(layer: LayerInfo) -> tuple[str, int, int, int]:
    return layer.kind, *layer.size


def _check_pattern(pattern: str, layers: Sequence[LayerInfo]) -> None:
    if not any(layer.fits(pattern) for layer in layers):
        raise ValueError(
            f"layers: expected names or patterns of layers, found {pattern!r}, which fits none of"
            f" {first_few(list(dict.fromkeys(layer.name for layer in layers)))}"
        )


def _named(name: str, side: str, layers: Sequence[LayerInfo]) -> LayerInfo:
    found = [layer for layer in layers if name in (layer.name, layer.node)]
    if not found:
        raise ValueError(
            f"layers: expected a layer of model_{side}, one of"
            f" {', '.join(layer.name for layer in layers)}, found {name!r}"
        )
    return found[0]


def _no_pairs(layers_a: Sequence[LayerInfo], layers_b: Sequence[LayerInfo] | None) -> str:
    def shown(layers: Sequence[LayerInfo]) -> str:
        return first_few([f"{layer.name} {layer.size_in_words}" for layer in layers])

    if layers_b is None:
        return f"layers: expected at least two layers of one model, found {shown(layers_a)}"
    a, b = layers_a[-1].name, layers_b[-1].name  # positions of maps need not correspond
    return (
        "model_a and model_b: expected layers of the same name, kind and map size, found"
        f" {shown(layers_a)} in model_a, and {shown(layers_b)} in model_b; say which to compare, as"
        f" in layers=[({a!r}, {b!r})], or give both models inputs of the same size"
    )
