"""The rooms of the package on their floors, and the jobs of a run."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from style import INK, MATCHED, MUTED, A, B, panels, styled

ROOT = Path(__file__).parents[2]
PURPOSES = {
    "cli": "the command line",
    "comparison": "two models in one call",
    "report": "the page",
    "figures": "tables in, figures out",
    "results": "from the files of all jobs to tables",
    "workflow": "around a job: locks, records, publishing",
    "experiment": "configuration, plan, where results lie",
    "networks": "architectures, training, layers, extraction",
    "data": "images and texts",
    "storage": "files, activation stores, match files",
    "matching": "the mathematics: arrays in, matches out",
}
# The rules by column, and what each reads.
COLUMNS = [
    ["prepare_data"],
    ["initialise", "train", "load_pretrained"],
    ["extract", "top_images"],
    ["within_network", "heat_map", "match", "consensus"],
    ["certify", "measure", "minimal_match", "null"],
    ["aggregate"],
    ["plot", "report"],
]
READS = [
    *(("prepare_data", "train"), ("prepare_data", "initialise"), ("extract", "top_images")),
    *((name, "extract") for name in COLUMNS[1]),
    *(("extract", name) for name in COLUMNS[3]),
    *(("match", name) for name in COLUMNS[4]),
    *((name, "aggregate") for name in COLUMNS[4]),
    *(("aggregate", "plot"), ("aggregate", "report")),
]
MADE = {0: "images", 1: "networks", 2: "activations", 3: "match paths", 4: "evidence", 5: "tables"}


def floors() -> list[list[str]]:
    """Return the rooms from top to bottom, as the contract of imports lists them."""
    text = (ROOT / ".importlinter").read_text()
    layers = re.search(r"containers = subspace_match\nlayers =\n((?:    .*\n)+)", text)
    rooms = [re.findall(r"\w+", line) for line in layers[1].splitlines() if "(" not in line]
    assert {name for floor in rooms for name in floor} == PURPOSES.keys()
    return rooms


@styled
def rooms() -> Figure:
    """Draw the floors."""
    figure, (axes,) = panels(1, width=7.6, height=4.6)
    rows = floors()
    for number, names in enumerate(rows):
        height = len(rows) - number
        for place, name in enumerate(names):
            width = 10 / len(names)
            left = place * width
            colour = A if name == "matching" else B if name in ("cli", "comparison") else MUTED
            _box(axes, (left + 0.04, height - 0.42), (width - 0.08, 0.84), colour)
            axes.text(left + 0.2, height, name, va="center", color=colour, weight="bold")
            start = left + (1.7 if len(names) == 1 else 1.2)
            axes.text(start, height, PURPOSES[name], va="center", color=INK)
    axes.annotate(
        "", (10.35, 0.6), (10.35, len(rows) + 0.4), arrowprops={"arrowstyle": "->", "color": MUTED}
    )
    axes.text(10.5, len(rows) / 2 + 0.5, "imports", rotation=90, va="center", color=MUTED)
    axes.set(xlim=(0, 10.9), ylim=(0.4, len(rows) + 0.6))
    axes.axis("off")
    return figure


@styled
def jobs() -> Figure:
    """Draw the rules of a run from left to right, and what each reads."""
    found = set(re.findall(r"^ *rule (\w+):", _rules(), re.MULTILINE))
    drawn = {name for column in COLUMNS for name in column}
    assert found == drawn, f"COLUMNS: expected every rule once, differs in {found ^ drawn}"
    figure, (axes,) = panels(1, width=9.6, height=3.6)
    places = {
        name: (column, (len(names) - 1) / 2 - row)
        for column, names in enumerate(COLUMNS)
        for row, name in enumerate(names)
    }
    for one, other in READS:
        start, end = places[one], places[other]
        arrow = {"arrowstyle": "->", "color": MUTED, "linewidth": 0.8}
        left, right = (start[0] + 0.43, start[1]), (end[0] - 0.43, end[1])
        if start[0] == end[0]:
            left, right = (start[0], start[1] - 0.3), (end[0], end[1] + 0.3)
        axes.annotate("", right, left, arrowprops=arrow)
    for name, (column, height) in places.items():
        colour = MATCHED if name == "match" else A
        _box(axes, (column - 0.42, height - 0.29), (0.84, 0.58), colour)
        words = name.replace("_", "\n")
        axes.text(column, height, words, ha="center", va="center", color=INK, size=8)
    for column, made in MADE.items():
        axes.text(column, -2.15, made, ha="center", color=MUTED, style="italic")
    axes.set(xlim=(-0.5, len(COLUMNS) - 0.5), ylim=(-2.3, 1.9))
    axes.axis("off")
    return figure


def _rules() -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))


def _box(axes: Axes, corner: tuple[float, float], size: tuple[float, float], colour: str) -> None:
    style = "round,pad=0,rounding_size=0.08"
    box = FancyBboxPatch(corner, *size, boxstyle=style, facecolor="none", edgecolor=colour)
    axes.add_patch(box)
