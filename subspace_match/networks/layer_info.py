"""The description of a layer. It needs no network and no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class LayerInfo:
    """One layer.

    Attributes:
        name: by what its samples are, in order of computation: conv1, conv2, ... for maps, fc1, ...
            for vectors, mlp1, ... for tokens behind a nonlinearity, tokens1, ... for others;
            block1, block2, ... if the layers are blocks.
        node: name of the operation or of the module that computes it.
        kind: what a sample is: a position of a map ("conv"), a token ("tokens") or an input ("fc").
        neurons: number of neurons.
        height, width: size of the map; 1 and the number of tokens, or the length of a map along one
            axis; 1 and 1 if a sample is an input.
        axis: axis of neurons in the values that the network computes.
        frames: number of maps that lie behind one another, the frames of a video or the slices of a
            volume; otherwise 1.
    """

    name: str
    node: str
    kind: str
    neurons: int
    height: int
    width: int
    axis: int = 1
    frames: int = 1

    @property
    def shape_in_words(self) -> str:
        """What its values are: "images x 8 neurons x 32 x 32"."""
        sizes = {"conv": f" x {self.size_in_words}", "tokens": f" x {self.width} tokens"}
        return f"images x {self.neurons} neurons{sizes.get(self.kind, '')}"

    @property
    def size(self) -> tuple[int, int, int]:
        """Frames, height and width. A sample's flat index counts positions in this order."""
        return self.frames, self.height, self.width

    @property
    def size_in_words(self) -> str:
        """The size, as "32 x 32"; of several frames, "8 x 32 x 32"."""
        shown = self.size[1:] if self.frames == 1 else self.size
        return " x ".join(map(str, shown))

    @property
    def positions(self) -> int:
        """Number of samples of one input."""
        return self.frames * self.height * self.width

    def fits(self, *patterns: str) -> bool:
        """Return whether its name or its node fits one of some shell patterns."""
        return any(fnmatchcase(text, each) for each in patterns for text in (self.name, self.node))


def check_planned(layers: Sequence[LayerInfo], planned: Sequence[LayerInfo], network: str) -> None:
    """Raise a ValueError that names the network unless it has the planned layers.

    Numbers of neurons are not compared, because only a file of weights tells its number of classes,
    and the plan does not read it.
    """
    found, expected = (list(map(_outline, own)) for own in (layers, planned))
    if found != expected:
        missing = [layer for layer in expected if layer not in found]
        unknown = [layer for layer in found if layer not in expected]
        raise ValueError(
            f"{network}: expected the layers that were planned, {', '.join(missing[:3]) or 'none'}"
            f" among them, found {', '.join(unknown[:3]) or 'none'} instead; remove the folder"
            " layers of the results, plan with the torch and torchvision versions that extract, and"
            " run again; if your network's code goes over a set, sort it, or set PYTHONHASHSEED=0,"
            " as jobs do"
        )


def _outline(layer: LayerInfo) -> str:
    return f"{layer.name} ({layer.node}, {layer.kind}) of {layer.size_in_words}"
