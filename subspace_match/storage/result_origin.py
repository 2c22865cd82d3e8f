"""The origin of a result: the networks, the layer and the settings that it was computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_origin, get_type_hints


@dataclass(frozen=True)
class Origin:
    """What a result of one or two networks was computed from."""

    digest: str  # of the settings and the code that decide the result, as in its path (``Paths``)
    networks: tuple[str, ...]  # the key of each network
    checkpoints: tuple[str, ...]  # the SHA-256 of each network's weights

    @classmethod
    def of_stores(cls, digest: str, *abouts: Mapping[str, Any]) -> Origin:
        """Build from the attributes of the activation stores of one or two networks."""
        keys = ("network", "checkpoint")
        return Origin(digest, *(tuple(about[key] for about in abouts) for key in keys))

    @classmethod
    def from_record(cls, record: Any, path: str | Path) -> Self:
        """Build from the JSON form of ``asdict``.

        Raises:
            ValueError: if a field is missing, unknown or has another type, naming the file ``path``
                that contains the record.
        """
        values = dict(record) if isinstance(record, dict) else {}
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        kinds = {key: get_origin(kind) or kind for key, kind in get_type_hints(cls).items()}
        if {key: type(value) for key, value in values.items()} != kinds:
            fields = ", ".join(f"{key} ({kind.__name__})" for key, kind in kinds.items())
            raise ValueError(
                f"{path}: expected the origin of a result with {fields}, found {record};"
                " remove the file and run again"
            )
        return cls(**values)

    def check(self, path: str | Path, digest: str, checkpoints: Mapping[str, str]) -> None:
        """Raise a ValueError that names ``path`` if digest or checkpoints are not as expected.

        ``checkpoints`` contains the SHA-256 of each network's present weights, by its key.
        """
        found = self.digest, *self.checkpoints
        expected = digest, *map(checkpoints.get, self.networks)
        if found != expected:
            raise ValueError(
                f"{path}: expected a result of digest and checkpoints {expected}, found {found};"
                " the networks have changed since: remove it and the activations it was computed"
                " from, and run again"
            )


@dataclass(frozen=True)
class LayerOrigin(Origin):
    """What a result of one layer of two networks was computed from."""

    layer: str  # the layer's name, such as "conv1"
    node: str  # the name of its node in the network's graph
    kind: str  # "conv", "tokens" or "fc"
    depth: int  # position of the layer, from 1 at the input
    samples: int  # number of samples
    draw: int  # index of the draw of positions, from 0
