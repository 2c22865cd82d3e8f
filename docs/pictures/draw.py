"""Draw the pictures of the documentation.

Those of the concepts are from the hidden layers of two networks of digits.

    python docs/pictures/draw.py            # write docs/pictures/*.svg
    python docs/pictures/draw.py --check    # fail if a written picture differs from a new one

Every number in the pictures is computed here by the package.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import architecture
import digits
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from style import FAINT, INK, MATCHED, MUTED, A, B, panels, styled, svg

import subspace_match as sm

FOLDER = Path(__file__).parent
EPSILONS = np.linspace(0, 0.99, 199)
MINIMAL_EPSILON = 0.3
PERMUTATIONS = 19
SHOWN = 4  # every fourth image is a point


def unit(columns: np.ndarray) -> np.ndarray:
    """Return columns of length 1."""
    return columns / np.linalg.norm(columns, axis=0)


def fitted(target: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the part of the target in the span of the columns, by least squares."""
    return columns @ np.linalg.lstsq(columns, target, rcond=None)[0]


def nearest(target: np.ndarray, columns: np.ndarray) -> list[int]:
    """Return columns in the order in which they reduce the distance from their span most."""
    chosen: list[int] = []
    while len(chosen) < columns.shape[1]:
        rest = [column for column in range(columns.shape[1]) if column not in chosen]
        left = [np.linalg.norm(target - fitted(target, columns[:, [*chosen, one]])) for one in rest]
        chosen.append(rest[int(np.argmin(left))])
    return chosen


@styled
def distance(x: np.ndarray, y: np.ndarray) -> Figure:
    """A neuron of B, and how far it lies from the span of some neurons of A."""
    live_x, live_y = (unit(side[:, side.any(0)]) for side in (x, y))
    triangle = np.linalg.qr(np.hstack([live_x, live_y]), mode="r")
    targets = triangle[:, live_x.shape[1] :]
    columns = triangle[:, : live_x.shape[1]]
    correlated = (columns.T @ targets).max(0)
    neuron = int(np.argsort(correlated)[len(correlated) // 2])
    target = targets[:, neuron]
    order = nearest(target, columns)
    figure, (left, right) = panels(2)

    turn = np.linspace(0, np.pi / 2, 100)
    left.plot(np.cos(turn), np.sin(turn), color=FAINT)
    left.axhline(0, color=A, linewidth=3)
    left.text(0.03, -0.04, "span of neurons of A", color=A, va="top")
    for count in (1, 2, 4, len(order)):
        r = float(np.linalg.norm(target - fitted(target, columns[:, order[:count]])))
        end = (np.sqrt(1 - r**2), r)
        left.annotate("", end, (0, 0), arrowprops={"arrowstyle": "->", "color": B, "shrinkB": 0})
        left.plot([end[0]] * 2, [0, r], color=MUTED, linewidth=1, linestyle=":")
        name = "1 neuron" if count == 1 else f"{count} neurons"
        left.text(end[0] + 0.02, end[1] + 0.01, f"{name}: {r:.2f}", color=INK)
    left.set(xlim=(-0.02, 1.38), ylim=(-0.12, 1.05), aspect="equal", xticks=[], yticks=[])
    left.spines[:].set_visible(False)
    left.set_title("A neuron of B (length 1) over spans of A:\nthe height is its distance r")

    near = live_x[:, order]
    for columns_used, colour, label in (
        (near[:, :1], FAINT, "from the nearest neuron"),
        (near, A, f"from all {len(order)}"),
    ):
        guess = fitted(live_y[:, neuron], columns_used)[::SHOWN]
        right.plot(guess, live_y[::SHOWN, neuron], ".", markersize=4, color=colour, label=label)
    top = live_y[:, neuron].max()
    right.plot([0, top], [0, top], color=INK, linewidth=0.8)
    right.set(xticks=[], yticks=[], xlabel="its best linear fit", ylabel="activation of the neuron")
    right.set_title("The same neuron, image by image:\nr is what the fit leaves")
    right.legend(loc="upper left", handletextpad=0.1, markerscale=3)
    return figure


def peeled(x: np.ndarray, y: np.ndarray) -> list[tuple[str, float]]:
    """Remove the farthest neuron again and again, by least squares: its side and distance."""
    live_x, live_y = x[:, x.any(0)], y[:, y.any(0)]
    triangle = np.linalg.qr(unit(np.hstack([live_x, live_y])), mode="r")
    sides = {"a": list(range(live_x.shape[1]))}
    sides["b"] = list(range(live_x.shape[1], triangle.shape[1]))
    removals = []
    while any(sides.values()):
        found = []
        for own, other in (("a", "b"), ("b", "a")):
            if sides[own]:
                targets = triangle[:, sides[own]]
                left = targets - fitted(targets, triangle[:, sides[other]])
                lengths = np.linalg.norm(left, axis=0)
                found.append((float(lengths.max()), own, sides[own][int(lengths.argmax())]))
        r, own, neuron = max(found)
        sides[own].remove(neuron)
        removals.append((own, r))
    return removals


@styled
def peeling(x: np.ndarray, y: np.ndarray) -> Figure:
    """The distance of each removed neuron, and the smallest one so far."""
    removals = peeled(x, y)
    distances = np.array([r for _, r in removals])
    critical = np.minimum.accumulate(distances)
    mine = sm.match_path(sm.reduce(x, y)).critical_epsilon
    assert np.allclose(np.sort(critical), np.sort(mine[~np.isnan(mine)]), atol=1e-7)
    figure, (axes,) = panels(1)
    numbers = np.arange(1, len(removals) + 1)
    axes.step(numbers, critical, where="mid", color=MATCHED, label="critical epsilon")
    for side, colour in (("a", A), ("b", B)):
        own = np.array([name == side for name, _ in removals])
        label = f"neuron of {side.upper()}, when it is removed"
        axes.plot(numbers[own], distances[own], "o", markersize=4, color=colour, label=label)
    bound = 0.2
    axes.axhline(bound, color=MUTED, linestyle="--", linewidth=1)
    left = int((critical <= bound).sum())
    text = (
        f"maximum match at {bound:g}: the {left} neurons whose critical epsilon is below the line"
    )
    axes.text(len(numbers), 0.06, text, ha="right", color=MUTED)
    axes.set(xlabel="removals: each time the farthest neuron", ylabel="distance from the others")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="upper right")
    return figure


@styled
def critical_epsilons(x: np.ndarray, y: np.ndarray) -> Figure:
    """The similarity at every epsilon, and the critical epsilons below it."""
    path = sm.match_path(sm.reduce(x, y))
    figure, (axes,) = panels(1, height=3.4)
    similarity = path.similarity(EPSILONS)
    axes.fill_between(EPSILONS, 0, similarity, step="post", color=MATCHED, alpha=0.15, linewidth=0)
    axes.step(EPSILONS, similarity, where="post", color=MATCHED)
    sides = ((path.critical_epsilon_x, A, -0.06), (path.critical_epsilon_y, B, -0.13))
    for (values, colour, height), name in zip(sides, "AB", strict=True):
        axes.plot(values, np.full(len(values), height), "|", color=colour, markersize=9)
        axes.text(1.005, height, f"neurons of {name}", color=colour, va="center", clip_on=False)
    axes.text(0.6, 0.45, f"area {path.area:.2f}", color=INK)
    at = 0.3
    axes.plot([at, at], [0, path.similarity(at)], color=MUTED, linestyle="--", linewidth=1)
    axes.text(
        at + 0.01, 0.7, f"at {at:g}: {path.similarity(at):.0%} of the neurons match", color=INK
    )
    axes.set(xlim=(0, 1), ylim=(-0.18, 1.04), xlabel="epsilon", ylabel="similarity")
    axes.set_yticks([0, 0.5, 1])
    return figure


@styled
def minimal_match(x: np.ndarray, y: np.ndarray) -> Figure:
    """All neurons of both networks, the maximum match, and the minimal match of one neuron."""
    path = sm.match_path(sm.reduce(x, y))
    maximum = path.maximum_match(MINIMAL_EPSILON)
    found = sm.minimal_matches(path, MINIMAL_EPSILON)
    sizes = {key: len(match.x) + len(match.y) for key, match in found.items() if key[0] == "x"}
    ordered = sorted(sizes, key=lambda key: (sizes[key], key))
    figure, both = panels(2, height=2.2)
    for axes, neuron in zip(both, (ordered[0], ordered[len(ordered) // 2]), strict=True):
        _minimal(axes, (x, y), maximum, found[neuron], neuron[1])
    both[0].set_yticks([1, 0], ["A", "B"])
    return figure


def _minimal(
    axes: Axes, sides: tuple[np.ndarray, ...], maximum: sm.Match, minimal: sm.Match, neuron: int
) -> None:
    for height, colour, side, inside, small in (
        (1, A, sides[0], maximum.x, minimal.x),
        (0, B, sides[1], maximum.y, minimal.y),
    ):
        places = np.arange(side.shape[1])
        axes.plot(places, np.full(len(places), height), "o", color=FAINT, markersize=6, mfc="none")
        axes.plot(inside, np.full(len(inside), height), "o", color=colour, markersize=6, alpha=0.35)
        axes.plot(small, np.full(len(small), height), "o", color=colour, markersize=8)
    for one in minimal.x:
        for other in minimal.y:
            axes.plot([one, other], [1, 0], color=MUTED, linewidth=0.5, zorder=0)
    axes.plot(neuron, 1, "o", markersize=13, mfc="none", color=INK)
    axes.set_title(f"Neuron {neuron} of A: {len(minimal.x)} of A, {len(minimal.y)} of B")
    axes.set(ylim=(-0.3, 1.3), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


@styled
def chance(x: np.ndarray, y: np.ndarray, labels: np.ndarray) -> Figure:
    """Observed similarity, and similarity with permuted images: any, and within classes."""
    rng = np.random.default_rng(0)

    def within() -> np.ndarray:
        order = np.arange(len(labels))
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            order[own] = rng.permutation(own)
        return order

    draws: dict[str, Callable[[], np.ndarray]] = {
        "any": lambda: rng.permutation(len(labels)),
        "class": within,
    }
    levels = {
        name: np.array(
            [
                sm.match_path(sm.reduce(x, y[draw()])).similarity(EPSILONS)
                for _ in range(PERMUTATIONS)
            ]
        ).max(0)
        for name, draw in draws.items()
    }
    observed = np.asarray(sm.match_path(sm.reduce(x, y)).similarity(EPSILONS))
    figure, (axes,) = panels(1, height=3.4)
    zero = np.zeros(len(EPSILONS))
    top = np.maximum(levels["class"], levels["any"])
    for low, high, colour, label in (
        (zero, levels["any"], MUTED, "chance: any images exchanged"),
        (levels["any"], top, B, "labels: images of one digit exchanged"),
        (top, np.maximum(observed, top), MATCHED, "more than labels explain"),
    ):
        shade = {"color": colour, "alpha": 0.3, "linewidth": 0, "step": "post"}
        axes.fill_between(EPSILONS, low, high, label=label, **shade)
    axes.step(EPSILONS, observed, where="post", color=MATCHED, label="observed")
    axes.step(EPSILONS, top, where="post", color=B, linewidth=1)
    axes.step(EPSILONS, levels["any"], where="post", color=MUTED, linewidth=1)
    axes.set(xlim=(0, 0.99), ylim=(0, 1.04), xlabel="epsilon", ylabel="similarity")
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


@styled
def cross_fitting(x: np.ndarray, y: np.ndarray) -> Figure:
    """The area from few images: in the sample, held out, cross-fitted."""
    rng = np.random.default_rng(0)
    counts, repeats = (80, 120, 200, 400, 800), 12
    found: dict[str, list[float]] = {"in-sample": [], "cross-fitted": [], "held-out": []}
    for count in counts:
        areas = []
        for _ in range(repeats):
            images = rng.permutation(len(x))[:count]
            halves = sm.reduce_halves(x[images], y[images])
            paths = (sm.match_path(halves.whole), sm.cross_fitted_path(halves))
            areas.append([*(path.area for path in paths), sm.held_out_path(halves).area])
        for values, mean in zip(found.values(), np.mean(areas, 0), strict=True):
            values.append(float(mean))
    figure, (axes,) = panels(1, height=3.0)
    whole = sm.match_path(sm.reduce(x, y)).area
    axes.axhline(whole, color=MUTED, linestyle="--", linewidth=1)
    axes.text(800, whole + 0.006, f"all {len(x):,} images", color=MUTED, ha="right")
    for (name, values), colour, marker in zip(
        found.items(), (A, MATCHED, B), ("o", "s", "^"), strict=True
    ):
        axes.plot(counts, values, marker=marker, markersize=5, color=colour, label=name)
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set(xlabel=f"images, for {x.shape[1]} neurons a side", ylabel="area")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def drawn() -> dict[str, str]:
    """Return every picture's SVG by its name."""
    warnings.simplefilter("ignore", sm.FewSamplesWarning)
    x, y = digits.hidden(0), digits.hidden(1)
    labels = digits.images_and_labels()[1]
    figures = {
        "distance": distance(x, y),
        "peeling": peeling(x, y),
        "critical_epsilons": critical_epsilons(x, y),
        "minimal_match": minimal_match(x, y),
        "chance": chance(x, y, labels),
        "cross_fitting": cross_fitting(x, y),
        "rooms": architecture.rooms(),
        "jobs": architecture.jobs(),
    }
    return {name: svg(figure) for name, figure in figures.items()}


def same(one: str, other: str) -> bool:
    """Return whether two drawings differ by rounding alone: numbers by at most 0.1 points."""
    number = r"-?\d+\.?\d*(?:e-?\d+)?"
    # Matplotlib names clip paths and markers by digests of their exact coordinates.
    drawings = [re.sub(r"\b[pm][0-9a-f]{10}\b", "name", text) for text in (one, other)]
    parts = [re.sub(number, "#", text) for text in drawings]
    values = [np.array(re.findall(number, text), dtype=float) for text in drawings]
    return parts[0] == parts[1] and bool(np.allclose(*values, rtol=0, atol=0.1))


def main() -> None:
    """Write the pictures, or check them."""
    for name, text in drawn().items():
        file = FOLDER / f"{name}.svg"
        if "--check" not in sys.argv:
            file.write_text(text)
        elif not same(text, file.read_text()):
            sys.exit(f"{file}: expected the picture that its script draws now; run {sys.argv[0]}")


if __name__ == "__main__":
    main()
