"""Draw a similarity curve: the share of neurons that match at each epsilon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..extras import needs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A curve has as many steps as neurons: more than a figure can resolve.
_EPSILONS = np.linspace(0, 1, 501)
EPSILON_LABEL, SIMILARITY_LABEL = r"$\epsilon$ (relative distance)", "Maximum matching similarity"


def draw_curve(axes: Axes, critical_epsilon: np.ndarray, **line: Any) -> None:
    """Draw the share of critical epsilons <= epsilon against epsilon.

    Args:
        axes: matplotlib axes.
        critical_epsilon: of any number of neurons; NaN (dead) neurons count but never match.
        line: properties of the line, such as ``color`` and ``label``.
    """
    critical = np.sort(critical_epsilon)  # NaN sort last
    share = np.searchsorted(critical, _EPSILONS, side="right") / len(critical)
    axes.step(_EPSILONS, share, where="post", **line)


def finish_curves(axes: Axes) -> None:
    """Set the ranges of axes with similarity curves, with a margin so that 0 and 1 are visible."""
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)


def new_axes(purpose: str) -> Axes:
    """Return the axes of a new figure of pyplot, which notebooks show.

    Raises:
        MissingExtraError: without matplotlib.
    """
    with needs("plots", purpose):
        from matplotlib import pyplot
    return pyplot.subplots(layout="constrained")[1]
