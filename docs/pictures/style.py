"""How the pictures look: text in the reader's own font, colours that follow light and dark."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, FAINT = "#1f2328", "#656d76", "#d0d7de"
A, B, MATCHED = "#1f5fbf", "#b35900", "#1a7f37"
DARK = {
    INK: "#e6edf3",
    MUTED: "#9aa4af",
    FAINT: "#3d444d",
    A: "#6cb0ff",
    B: "#d98e4a",
    MATCHED: "#3fae58",
}
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "subspace-match",
}
styled = mpl.rc_context(_STYLE)


def panels(count: int, width: float = 7.6, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """Create a figure with panels side by side."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def svg(figure: Figure) -> str:
    """Return a figure as SVG that takes light or dark colours from the page that shows it.

    An image sees the colour scheme of the page around it as ``prefers-color-scheme``.
    """
    written = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    rules = "".join(
        f'[style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    text = re.sub(r"(<svg [^>]*>)", rf"\1{style}", written.getvalue(), count=1)
    return text.replace("'DejaVu Sans'", "system-ui, 'Segoe UI', sans-serif")
