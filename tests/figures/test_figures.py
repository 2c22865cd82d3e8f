"""Figures show the numbers of the tables, are readable, and are reproducible byte for byte."""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from subspace_match.figures import FIGURES, figure_names
from subspace_match.figures.critical import critical_epsilons, similarity_by_epsilon
from subspace_match.figures.depth import similarity_by_depth, stages
from subspace_match.figures.layer_pairs import heat_map
from subspace_match.figures.many_networks import network_matrix, universality
from subspace_match.figures.new_images import cross_fitted
from subspace_match.figures.of_folder import save_figure
from subspace_match.figures.preferred_images import chosen_matches, top_images
from subspace_match.figures.sizes import minimal_matches
from subspace_match.figures.style import colour, save
from subspace_match.results.chance import CHANCE_COLUMNS
from subspace_match.results.many_networks import network_matrix_table
from subspace_match.results.tables import summary_table

CHANCE = [f"{of}{name}" for of in ("", "area_") for name in CHANCE_COLUMNS]
EPSILONS = [0.15, 0.3, 0.5]
STAGES = ["initial", "epoch 1", "last", "initial to last, same seed", "epoch 1 to last, same seed"]
ONE = ["last"]
NEURONS = 12


def records(layers: int, comparisons: Sequence[str], pairs: int = 1) -> list[dict[str, Any]]:
    """Return the columns that identify each layer; the last layer is fully connected."""
    rows = []
    for comparison in comparisons:
        words = comparison.removesuffix(", same seed").replace("epoch ", "").split(" to ")
        for pair in range(pairs):
            seed_a = pair + 1 if comparison.endswith("same seed") else 0
            networks = {"model_a": "base", "seed_a": seed_a, "stage_a": words[0]}
            networks |= {"model_b": "base", "seed_b": pair + 1, "stage_b": words[-1]}
            for depth in range(1, layers + 1):
                kind = "fc" if depth == layers else "conv"
                layer = {"layer": f"{kind}{depth}", "node": "n", "depth": depth, "kind": kind}
                rows.append({"comparison": comparison} | networks | layer)
    return rows


def tables(
    layers: int = 4,
    comparisons: Sequence[str] = ONE,
    pairs: int = 1,
    draws: int = 1,
    few_samples: bool = False,
) -> dict[str, pd.DataFrame]:
    """Return small tables of an experiment, with random numbers."""
    made = _tables(layers, tuple(comparisons), pairs, draws, few_samples)
    return {name: table.copy() for name, table in made.items()}


@cache
def _tables(
    layers: int, comparisons: tuple[str, ...], pairs: int, draws: int, few_samples: bool
) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    named = records(layers, comparisons, pairs)
    similarity, neurons, measured, minimal, members, heat = [], [], [], [], [], []
    universal = []
    for about in named:
        for draw in range(draws):
            critical = np.where(rng.random(2 * NEURONS) < 0.1, np.nan, rng.random(2 * NEURONS))
            own = {"network": np.repeat(["a", "b"], NEURONS), "critical_epsilon": critical}
            own |= {"draw": draw, "dead": np.isnan(critical)}
            neurons.append(pd.DataFrame(about | own))
            of_draw = {"draw": draw, "samples": 100, "images": 50}
            of_draw |= {"few_samples": few_samples, "certain": True}
            for epsilon in EPSILONS:
                numbers = {"epsilon": epsilon, "similarity": (critical <= epsilon).mean()}
                numbers["area"] = np.nan_to_num(1 - critical).mean()
                numbers["cross_fitted"] = numbers["similarity"] / 2
                numbers["gap"] = numbers["similarity"] / 2
                numbers["cross_fitted_area"] = numbers["area"] / 2
                numbers["held_out"] = numbers["held_out_area"] = 0.0
                # The chance level is above 0 from 0.3 on, and known for the first draw only.
                level = max(0, epsilon - 0.3) if draw == 0 else np.nan
                numbers |= dict.fromkeys(CHANCE, np.nan)
                numbers |= {"null_threshold": level, "class_null_threshold": 2 * level}
                similarity.append(about | of_draw | {"verified": True} | numbers)
        network = {key: about[f"{key}_a"] for key in ("model", "seed", "stage")}
        layer = {key: about[key] for key in ("comparison", "layer", "node", "depth", "kind")}
        shares = {f"share_{epsilon:g}": rng.integers(0, 4, NEURONS) / 3 for epsilon in EPSILONS}
        universal.append(pd.DataFrame(layer | network | {"others": 3} | shares))
        measured += [about | {"measure": m, "value": rng.random()} for m in ("linear_cka", "pwcca")]
        numbers = np.arange(NEURONS)
        of_match = {"epsilon": 0.3, "match": numbers}
        sizes = {"network": "a", "neuron": numbers, "size_a": 1, "size_b": 1 + numbers % 5}
        minimal.append(pd.DataFrame(about | of_match | sizes))
        lists = {"neurons_a": [[n] for n in numbers]}
        lists["neurons_b"] = [list(range(1 + n % 5)) for n in numbers]
        members.append(pd.DataFrame(about | of_match | lists))
    for about in {tuple(list(row.items())[:7]) for row in named}:
        a, b, e = np.indices((layers, layers, len(EPSILONS))).reshape(3, -1)
        own = {"layer_a": a, "depth_a": a, "layer_b": b, "depth_b": b}
        own |= {
            "epsilon": np.array(EPSILONS)[e],
            "similarity": a / layers,
            "linear_cka": b / layers,
        }
        heat.append(pd.DataFrame(dict(about) | own).astype({"layer_a": str, "layer_b": str}))
    sides = [(row[f"seed_{s}"], row[f"stage_{s}"]) for row in named for s in "ab"]
    networks = pd.DataFrame(
        {"model": "base", "seed": seed, "stage": stage, "key": f"net.{seed}.{stage}"}
        for seed, stage in sorted(set(sides))
    )
    shown = {"layer": named[-1]["layer"], "neuron": np.repeat(numbers, 9)}
    shown |= {"rank": np.tile(np.arange(9), NEURONS), "image": np.arange(9 * NEURONS) % 20}
    return {
        "summary": summary_table(pd.DataFrame(similarity)).assign(consensus=np.nan),
        "universality": pd.concat(universal, ignore_index=True),
        "network_matrix": network_matrix_table(
            pd.DataFrame(similarity), networks.to_dict("records")
        ),
        "neurons": pd.concat(neurons, ignore_index=True),
        "measures": pd.DataFrame(measured),
        "minimal_matches": pd.concat(minimal, ignore_index=True),
        "minimal_match_members": pd.concat(members, ignore_index=True),
        "heat_map": pd.concat(heat, ignore_index=True).sort_values(["comparison", "seed_b"]),
        "networks": networks,
        "top_images": pd.concat(pd.DataFrame({"key": key} | shown) for key in networks["key"]),
    }


def images(channels: int = 1, side: int = 8) -> np.ndarray:
    """Return images of constant value; the value is the index of the image."""
    value = np.arange(20, dtype=np.uint8)[:, None, None, None]
    return np.broadcast_to(value, (20, channels, side, side))


def draw(name: str, made: dict[str, pd.DataFrame]) -> Figure:
    return FIGURES[name].draw(made, images())


def lay_out(figure: Figure) -> None:
    """Place everything, without drawing it, which takes as long again."""
    figure.get_layout_engine().execute(figure)


def test_stages_exists_only_with_several_comparisons() -> None:
    assert set(figure_names(2)) - set(figure_names(1)) == {"stages"}
    assert set(figure_names(2, 2)) == set(FIGURES)


def test_figures_of_many_networks_exist_from_three_networks_on() -> None:
    assert set(figure_names(1, 2)) - set(figure_names(1, 1)) == {"universality", "network_matrix"}


def test_the_registry_is_light() -> None:
    code = "import sys, subspace_match.figures as f; assert f.FIGURES; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"matplotlib", "pandas", "numpy"} & set(loaded.stdout.split())


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.get_lines()}


def legend_words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_epsilon_has_a_curve_through_the_similarities_of_the_table() -> None:
    summary = tables()["summary"]
    figure = similarity_by_depth(summary)
    curves = {name: list(line.get_ydata()) for name, line in lines(figure.axes[0]).items()}
    areas = summary.loc[summary["epsilon"] == 0.3, "area"].tolist()
    assert curves == {"area": areas} | {
        f"{epsilon:g}": summary.loc[summary["epsilon"] == epsilon, "similarity"].tolist()
        for epsilon in EPSILONS
    }
    named = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert named == ["conv1", "conv2", "conv3", "fc4"]


def test_cross_fitted_similarity_is_dashed_beside_that_in_sample() -> None:
    summary = tables()["summary"]
    summary.loc[summary["layer"] == "conv1", "cross_fitted"] = np.nan
    figure = cross_fitted(summary)
    found = {
        (line.get_color(), line.get_linestyle()): line.get_ydata()
        for line in figure.axes[0].get_lines()
    }
    assert len(found) == 2 * len(EPSILONS) + 3
    for column, style in (("similarity", "-"), ("cross_fitted", "--")):
        own = summary.loc[summary["epsilon"] == 0.3, column]
        np.testing.assert_array_equal(found[colour(1, 3), style], own)
    areas = summary[summary["epsilon"] == 0.3]
    styles = {"area": "-", "cross_fitted_area": "--", "held_out_area": ":"}
    for column, style in styles.items():
        np.testing.assert_array_equal(found["black", style], areas[column])
    assert {"area", "in-sample", "cross-fitted", "held-out"} <= set(legend_words(figure))
    caption = FIGURES["cross_fitted"].caption({"summary": summary}, "e", CONFIG)
    assert "Too few images for dashed lines: conv1." in caption


def test_the_caption_says_which_panels_have_no_dashed_line() -> None:
    summary = tables(comparisons=["initial", "last"])["summary"]
    is_missing = (summary["layer"] == "conv2") & (summary["comparison"] == "last")
    summary.loc[is_missing | (summary["layer"] == "conv1"), "cross_fitted"] = np.nan
    caption = FIGURES["cross_fitted"].caption({"summary": summary}, "e", CONFIG)
    assert "Too few images for dashed lines: conv1 and conv2 (last)." in caption


def test_the_order_of_rows_does_not_matter() -> None:
    summary = tables()["summary"]
    shuffled = summary.sample(frac=1, random_state=0)
    curves = lines(similarity_by_depth(shuffled).axes[0])
    expected = lines(similarity_by_depth(summary).axes[0])
    assert set(curves) == set(expected)
    for name, line in curves.items():
        np.testing.assert_array_equal(line.get_ydata(), expected[name].get_ydata())


def test_the_band_goes_from_low_to_high_of_the_summary() -> None:
    summary = tables(3, pairs=3, draws=2)["summary"]
    axes = similarity_by_depth(summary).axes[0]
    bands = [band for band in axes.collections if band.get_hatch() is None]
    assert len(bands) == len(EPSILONS)
    heights = bands[0].get_paths()[0].vertices[:, 1]
    own = summary[summary["epsilon"] == 0.5]
    assert (summary["networks"] == 3).all()  # the network that is in all pairs is fixed
    assert heights.min() == own["low_networks"].min()
    assert heights.max() == own["high_networks"].max()
    over_images = {"low_networks": np.nan, "low_images": 0.2, "high_images": 0.4}
    axes = similarity_by_depth(summary.assign(high_networks=np.nan, **over_images)).axes[0]
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0.2, 0.4)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_layer_without_neighbours_is_seen_in_every_line_and_area(layers: int) -> None:
    """A run of one layer, and one whose other layers have no level and no cross-fitted value."""
    summary = tables(layers, pairs=3, draws=2)["summary"].assign(consensus=0.25)
    known = "fc1" if layers == 1 else "conv2"
    columns = [*CHANCE, "cross_fitted", "cross_fitted_area", "held_out_area", "consensus"]
    columns += ["low_networks", "high_networks", "low_images", "high_images"]
    summary.loc[summary["layer"] != known, columns] = np.nan
    axes = similarity_by_depth(summary).axes[0]
    fitted = cross_fitted(summary).axes[0]
    staged = tables(1, ["initial", "last"], pairs=3)["summary"]
    drawn = [*axes.get_lines(), *fitted.get_lines()]
    drawn += [line for small in axes.child_axes for line in small.get_lines()]
    if layers == 1:
        drawn += stages(staged).axes[0].get_lines()
    for line in drawn:
        of_markers = line.get_marker() != "None"
        xs = np.asarray(line.get_xdata())[np.isfinite(line.get_ydata())]
        assert of_markers or np.ptp(xs) > 0, line
    levels = [area for small in axes.child_axes[:2] for area in small.collections]
    assert len(levels) == 4
    assert len(axes.collections) == len(EPSILONS)
    for area in [*levels, *axes.collections]:
        (path,) = area.get_paths()
        assert np.ptp(path.vertices[:, 0]) == pytest.approx(0.4)


def test_a_single_pair_and_draw_has_no_band() -> None:
    axes = similarity_by_depth(tables()["summary"]).axes[0]
    assert not [band for band in axes.collections if band.get_hatch() is None]


def test_the_consensus_is_drawn_and_labelled_where_there_is_one() -> None:
    summary = tables()["summary"]
    assert "consensus" not in legend_words(similarity_by_depth(summary))
    assert "consensus" not in FIGURES["similarity_by_depth"].caption(
        {"summary": summary}, "e", CONFIG
    )
    at_middle = summary["epsilon"] == 0.3
    summary.loc[at_middle, "consensus"] = [0.1, 0.2, 0.3, 0.4]
    figure = similarity_by_depth(summary)
    (drawn,) = (line for line in figure.axes[0].get_lines() if line.get_linestyle() == "-.")
    assert list(drawn.get_ydata()) == [0.1, 0.2, 0.3, 0.4]
    assert "consensus" in legend_words(figure)
    caption = FIGURES["similarity_by_depth"].caption({"summary": summary}, "e", CONFIG)
    assert "Dash-dotted: the share of all networks' neurons in their consensus match" in caption


def test_universality_counts_neurons_matched_in_at_least_so_many_networks() -> None:
    made = tables(layers=2)
    neurons = made["universality"]
    axes = universality(neurons, made["summary"]).axes[0]
    for layer, line in lines(axes).items():
        shares = neurons.loc[neurons["layer"] == layer, "share_0.3"]
        counts = (shares * 3).round()
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == [(counts >= q).mean() for q in (1, 2, 3)]
    # A network with fewer others is not among those that are compared with three.
    neurons.loc[neurons.index[:6], "others"] = 1
    heights = lines(universality(neurons, made["summary"]).axes[0])["conv1"].get_ydata()
    shares = neurons[neurons["layer"] == "conv1"].iloc[6:]["share_0.3"]
    assert heights[2] == (shares == 1).mean()


def test_universality_of_two_networks_says_why_it_is_not_drawn() -> None:
    made = tables()
    made["universality"]["others"] = 1
    figure = draw("universality", made)
    assert "at least two others" in figure.texts[0].get_text()


def test_networks_are_drawn_in_the_order_of_clusters_below_their_tree() -> None:
    """Networks 0 and 2 are nearest; 1 joins them at the mean of its distances."""
    areas = {(0, 1): 0.3, (0, 2): 0.9, (1, 2): 0.5}
    about = {"layer": "conv1", "node": "n", "depth": 1, "kind": "conv"}
    about |= {f"{key}_{side}": "x" for key in ("model", "stage") for side in "ab"}
    similarity = pd.DataFrame(
        about | {"seed_a": a, "seed_b": b, "area": area} for (a, b), area in areas.items()
    )
    networks = [{"model": "x", "seed": seed, "stage": "x"} for seed in range(3)]
    matrix = network_matrix_table(similarity, networks)
    above, axes, _ = network_matrix(matrix).axes
    order = [int(label.get_text()) for label in axes.get_xticklabels()]
    assert sorted(order) == [0, 1, 2]
    assert abs(order.index(0) - order.index(2)) == 1
    values = axes.get_images()[0].get_array()
    for i, a in enumerate(order):
        for j, b in enumerate(order):
            if i != j:
                assert values[i, j] == areas[min(a, b), max(a, b)]
    first, second = (line.get_ydata() for line in above.get_lines())
    np.testing.assert_allclose(first, [0, 0.1, 0.1, 0])
    np.testing.assert_allclose(sorted(second), sorted([second[0], 0.6, 0.6, second[3]]))
    np.testing.assert_allclose(sorted([second[0], second[3]]), [0, 0.1])
    assert "average linkage" in FIGURES["network_matrix"].caption(
        {"network_matrix": matrix}, "e", CONFIG
    )


def test_a_caption_without_a_level_within_classes_says_what_that_needs() -> None:
    made = tables()["summary"].assign(class_null_threshold=np.nan)
    caption = FIGURES["similarity_by_depth"].caption({"summary": made}, "e", CONFIG)
    assert "There is none within classes, which needs images with labels, several of" in caption


def test_a_caption_names_the_layers_whose_level_within_classes_is_not_known() -> None:
    made = tables()["summary"]
    made.loc[made["layer"] == "conv2", "class_null_threshold"] = np.nan
    for name in ("similarity_by_depth", "stages"):
        caption = FIGURES[name].caption({"summary": made}, "e", CONFIG)
        assert "what the labels alone explain. It is not known for conv2." in caption
    labels = similarity_by_depth(made).axes[0].child_axes[0].collections[0]
    places = np.concatenate([path.vertices[:, 0] for path in labels.get_paths()])
    assert {places.min(), places.max()} == {-0.2, 3}
    assert not ((places > 0.2) & (places < 2)).any()  # a gap, not a level of 0


@pytest.mark.parametrize("with_level", [True, False])
def test_a_caption_says_which_comparison_has_no_level_within_classes(with_level: bool) -> None:
    """If it has a level of chance; in the figure of stages a comparison is a curve of a panel."""
    names = ["initial", "last", "initial to last, same seed"]
    made = tables(comparisons=names)["summary"]
    of_layer, of_last = made["layer"] == "conv2", made["comparison"] == "last"
    made.loc[of_layer & of_last, "class_null_threshold"] = np.nan
    if not with_level:
        made.loc[of_layer & of_last, "null_threshold"] = np.nan
    words = " It is not known for conv2 (last)."
    for name in ("similarity_by_depth", "stages"):
        caption = FIGURES[name].caption({"summary": made}, "e", CONFIG)
        assert (f"what the labels alone explain.{words}" in caption) == with_level
        assert ("not known" in caption) == with_level


@pytest.mark.parametrize(
    ("pairs", "draws", "words"),
    [
        (1, 1, "A similarity above it has p <= 0.05"),
        (1, 2, "A similarity above it in the first draw has p <= 0.05"),
        (3, 1, "a pair whose similarity is above its own level has p <= 0.05"),
        (3, 2, "a pair whose similarity in the first draw is above its own level has p <= 0.05"),
    ],
)
def test_a_caption_says_what_the_chance_level_is_a_level_of(
    pairs: int, draws: int, words: str
) -> None:
    made = tables(pairs=pairs, draws=draws)
    for name in ("similarity_by_depth", "stages"):
        caption = FIGURES[name].caption(made, "e", CONFIG)
        assert words in caption
        assert ("It is the mean over pairs" in caption) == (pairs > 1)


def test_a_caption_says_which_layers_of_networks_have_no_clusters_and_why() -> None:
    """All pairs of four networks in conv1, two of three pairs in conv2, a single pair in fc2."""
    pairs = {"conv1": combinations(range(4), 2), "conv2": [(0, 1), (1, 2)], "fc2": [(2, 3)]}
    about = {"node": "n", "kind": "conv", "area": 0.5}
    about |= {f"{key}_{side}": "x" for key in ("model", "stage") for side in "ab"}
    similarity = pd.DataFrame(
        about | {"layer": layer, "depth": depth, "seed_a": a, "seed_b": b}
        for depth, (layer, own) in enumerate(pairs.items(), 1)
        for a, b in own
    )
    networks = [{"model": "x", "seed": seed, "stage": "x"} for seed in range(4)]

    def caption(*layers: str) -> str:
        kept = similarity[similarity["layer"].isin(layers)]
        made = {"network_matrix": network_matrix_table(kept, networks)}
        return FIGURES["network_matrix"].caption(made, "e", CONFIG)

    assert "Only two networks are compared in fc2: no clusters." in caption("conv1", "fc2")
    assert "Not every two" not in caption("conv1", "fc2")
    assert "Not every two networks are compared in conv2: grey" in caption("conv1", "conv2", "fc2")
    assert "Not every two networks are compared: grey" in caption("conv2")
    assert "two networks" not in caption("conv1")


def test_small_panels_show_each_curve_above_chance_and_labels() -> None:
    summary = tables()["summary"]
    figure = similarity_by_depth(summary)
    small = figure.axes[0].child_axes
    epsilons = sorted(EPSILONS, reverse=True)
    assert [axes.get_title() for axes in small] == [
        *(rf"$\epsilon$ = {epsilon:g}" for epsilon in epsilons),
        "area",
    ]
    for axes, epsilon in zip(small, epsilons, strict=False):
        own = summary[summary["epsilon"] == epsilon]
        np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), own["similarity"])
        tops = [area.get_paths()[0].vertices[:, 1].max() for area in axes.collections]
        level = max(0, epsilon - 0.3)
        assert tops == [pytest.approx(2 * level), pytest.approx(level)]
    assert {"chance", "labels alone"} <= set(legend_words(figure))
    figure = similarity_by_depth(summary.assign(class_null_threshold=np.nan))
    assert "labels alone" not in legend_words(figure)
    figure = similarity_by_depth(summary.assign(null_threshold=np.nan, class_null_threshold=np.nan))
    assert not figure.axes[0].child_axes
    assert "chance" not in legend_words(figure)


def test_a_figure_of_a_folder_can_be_dark(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    tables()["summary"].to_parquet(tmp_path / "tables" / "summary.parquet")
    corners = []
    for on_dark in (False, True):
        save_figure(tmp_path, "similarity_by_depth", tmp_path / "f.png", on_dark=on_dark)
        corners.append(matplotlib.image.imread(tmp_path / "f.png")[0, 0, :3].max())
    assert corners[0] == 1
    assert corners[1] < 0.2
    with pytest.raises(ValueError, match=r"expected one of similarity_by_depth, .* found 'top_i"):
        save_figure(tmp_path, "top_images", tmp_path / "f.png")


@pytest.mark.parametrize(
    "name", ["similarity_by_depth", "similarity_by_epsilon", "critical_epsilons", "measures"]
)
def test_each_comparison_has_a_panel(name: str) -> None:
    made = tables(comparisons=STAGES)
    figure = draw(name, made)
    assert [axes.get_title() for axes in figure.axes] == STAGES
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    assert [axes.get_title() for axes in draw(name, tables()).axes] == [""]


def test_a_panel_shows_the_comparison_in_its_title() -> None:
    summary = tables(comparisons=STAGES)["summary"]
    for axes in similarity_by_depth(summary).axes:
        own = summary[(summary["comparison"] == axes.get_title()) & (summary["epsilon"] == 0.3)]
        np.testing.assert_array_equal(lines(axes)["0.3"].get_ydata(), own["similarity"])


def test_panels_with_different_layers_label_their_own_layers() -> None:
    made = tables(3)["summary"], tables(5, ["other"])["summary"]
    figure = similarity_by_depth(pd.concat(made))
    named = [[text.get_text() for text in axes.get_xticklabels()] for axes in figure.axes]
    assert named == [["conv1", "conv2", "fc3"], [f"conv{n}" for n in range(1, 5)] + ["fc5"]]


def test_stages_separates_two_networks_from_a_network_against_itself() -> None:
    summary = tables(comparisons=STAGES)["summary"]
    two, one = stages(summary).axes
    assert two.get_title() == "Two networks at equal stages"
    assert one.get_title() == "A network against itself"
    for axes, names in ((two, STAGES[:3]), (one, STAGES[3:])):
        shown = [text.get_text() for text in axes.get_legend().get_texts()]
        assert shown == [name.removesuffix(", same seed") for name in names]
        for name, label in zip(names, shown, strict=True):
            own = summary[(summary["comparison"] == name) & (summary["epsilon"] == 0.3)]
            np.testing.assert_array_equal(lines(axes)[label].get_ydata(), own["similarity"])


def test_different_stages_of_two_networks_are_not_called_equal() -> None:
    summary = tables(comparisons=["last", "initial to last"])["summary"]
    figure = stages(summary.assign(null_threshold=0.1, class_null_threshold=0.2))
    assert len(figure.axes) == 1
    shown = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert shown == ["last", "initial to last", "chance", "labels alone"]


def test_stages_shows_a_layer_at_one_place_for_networks_of_any_depth() -> None:
    shallow, deep = (tables(layers, [name])["summary"] for layers, name in ((2, "s"), (3, "d")))
    (axes,) = stages(pd.concat([shallow.replace("fc2", "fc3"), deep])).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["conv1", "conv2", "fc3"]
    curves = lines(axes)
    assert curves["s"].get_xdata().tolist() == [0, 2]
    assert curves["d"].get_xdata().tolist() == [0, 1, 2]


def test_measures_are_drawn_with_the_match_at_the_middle_epsilon() -> None:
    made = tables(pairs=2)
    curves = lines(draw("measures", made).axes[0])
    assert list(curves) == [r"match, $\epsilon$ = 0.3", "linear CKA", "PWCCA"]
    match = made["summary"].loc[made["summary"]["epsilon"] == 0.3, "similarity"]
    np.testing.assert_allclose(curves[r"match, $\epsilon$ = 0.3"].get_ydata(), match)
    own = made["measures"][made["measures"]["measure"] == "linear_cka"]
    cka = own.groupby("depth")["value"].mean()
    np.testing.assert_allclose(curves["linear CKA"].get_ydata(), cka)


def test_the_minimal_match_of_each_neuron_is_a_point_and_a_step() -> None:
    points, shares = draw("minimal_matches", tables(6)).axes
    offsets = points.collections[0].get_offsets()
    assert len(offsets) == 6 * NEURONS
    assert sorted(set(offsets[:, 1])) == [2, 3, 4, 5, 6]
    assert "0.3" in points.get_ylabel()
    assert list(lines(shares)) == ["conv1", "conv2", "conv5", "fc6"]
    x, y = lines(shares)["conv1"].get_data()
    assert y[np.searchsorted(x, 3, side="right") - 1] == 6 / NEURONS  # sizes 2 and 3


def test_minimal_matches_are_shown_at_the_largest_epsilon() -> None:
    made = tables()
    smaller = made["minimal_matches"].assign(epsilon=0.1)
    both = pd.concat([smaller, made["minimal_matches"]])
    points = minimal_matches(both, made["summary"]).axes[0].collections[0]
    assert len(points.get_offsets()) == 4 * NEURONS


def test_the_exact_curve_is_the_fraction_of_critical_epsilons_below() -> None:
    neurons = tables(2, pairs=2, draws=3)["neurons"]
    axes = similarity_by_epsilon(neurons).axes[0]
    for layer, line in lines(axes).items():
        critical = neurons.loc[neurons["layer"] == layer, "critical_epsilon"]
        x, y = line.get_data()
        for epsilon in (0.1, 0.33, 0.9):
            shown = y[np.searchsorted(x, epsilon, side="right") - 1]
            assert shown == pytest.approx((critical <= x[x <= epsilon][-1]).mean())


def test_critical_epsilons_use_the_first_draw_and_skip_dead_neurons() -> None:
    neurons = tables(3, pairs=2, draws=2)["neurons"]
    of_a, of_b = critical_epsilons(neurons).axes[0].collections[::2]
    first = neurons[(neurons["draw"] == 0) & ~neurons["dead"]]
    for points, network in ((of_a, "a"), (of_b, "b")):
        own = first.loc[first["network"] == network, "critical_epsilon"]
        np.testing.assert_array_equal(points.get_offsets()[:, 1], own)


def test_no_panel_clips_a_critical_epsilon() -> None:
    neurons = tables(3, comparisons=STAGES)["neurons"]
    neurons.loc[neurons["comparison"] == "last", "critical_epsilon"] *= 0.1
    largest = neurons["critical_epsilon"].max()
    for axes in critical_epsilons(neurons).axes:
        assert axes.get_ylim()[1] > largest


def test_the_heat_map_has_network_a_on_the_vertical_axis_and_averages_pairs() -> None:
    made = tables(4, comparisons=["initial", "last"], pairs=2)
    table = made["heat_map"]
    last = (table["comparison"] == "last") & (table["epsilon"] == 0.3)
    table.loc[last & (table["seed_b"] == 1), "similarity"] = 1.0
    figure = heat_map(table)
    match, cka = figure.axes[2:4]
    assert match.get_title() == r"last: Match, $\epsilon$ = 0.3"
    expected = (np.arange(4)[:, None] / 4 + 1) / 2 + np.zeros(4)
    np.testing.assert_allclose(match.images[0].get_array(), expected)
    np.testing.assert_allclose(cka.images[0].get_array(), np.arange(4) / 4 + np.zeros((4, 1)))
    assert match.get_ylabel() == "Layer of network A"
    assert {axes.images[0].get_clim() for axes in figure.axes[:4]} == {(0, 1)}


def test_a_row_shows_the_images_that_activate_the_neuron_most() -> None:
    made = tables()
    top = made["top_images"].sample(frac=1, random_state=0)  # the order of rows must not matter
    figure = top_images(made["minimal_match_members"], made["networks"], top, images())
    by_name = {axes.get_ylabel(): axes for axes in figure.axes}
    strip = by_name["A 1"].images[0].get_array()
    values = [int(part[0, 0, 0]) for part in np.split(strip, 9, axis=1)]
    assert values == [n % 20 for n in range(9, 18)]
    left, right = (by_name[name].get_position().x0 for name in ("A 1", "B 1"))
    assert left < 0.5 < right
    words = [text.get_text() for text in figure.texts]
    assert words[0] == r"Layer fc4, $\epsilon$ = 0.3"
    assert words[1:3] == ["Network A: seed 0, last", "Network B: seed 1, last"]
    assert words[3] == "Minimal match 0: 1 + 1 neurons"


def test_a_caption_says_that_only_sampled_positions_of_a_map_count() -> None:
    made = tables()
    words = "Only the positions of the first draw count."
    assert words not in FIGURES["top_images"].caption(made, "e", CONFIG)
    members = made["minimal_match_members"]
    of_maps = made | {"minimal_match_members": members[members["kind"] == "conv"]}
    assert words in FIGURES["top_images"].caption(of_maps, "e", CONFIG)


def test_chosen_matches_are_small_and_differ_in_size() -> None:
    members = tables()["minimal_match_members"]
    shown = chosen_matches(members)
    assert shown["match"].tolist() == [0, 1, 2, 3]  # sizes 2 to 5; there is no room for 6
    assert set(shown["kind"]) == {"fc"}
    alike = members[members["match"] % 5 == 0]
    assert chosen_matches(alike)["match"].tolist() == [0, 5, 10]


def test_chosen_matches_prefer_trained_networks_and_the_last_connected_layer() -> None:
    members = tables(comparisons=STAGES)["minimal_match_members"]
    assert set(chosen_matches(members)["comparison"]) == {"last"}
    convolutions = members[members["kind"] == "conv"]
    assert set(chosen_matches(convolutions)["layer"]) == {"conv3"}
    untrained = members[members["comparison"] == "initial"]
    assert set(chosen_matches(untrained)["comparison"]) == {"initial"}


def test_a_large_match_is_shown_in_part_with_a_note() -> None:
    made = tables()
    members = made["minimal_match_members"].query("match == 0")
    every = [list(range(NEURONS))] * len(members)
    members = members.assign(neurons_a=every, neurons_b=every)
    figure = top_images(members, made["networks"], made["top_images"], images())
    assert len(figure.axes) == 12
    words = "Minimal match 0: 12 + 12 neurons, 6 of each are shown"
    assert words in [text.get_text() for text in figure.texts]


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 8), (3, 224)])
def test_images_may_be_grey_coloured_large_or_read_one_by_one(channels: int, side: int) -> None:
    made, asked = tables(), []
    pictures = images(channels, side)

    def one(place: int) -> np.ndarray:
        asked.append(place)
        return pictures[place]

    arguments = made["minimal_match_members"], made["networks"], made["top_images"]
    strips = [
        top_images(*arguments, given).axes[0].images[0].get_array() for given in (pictures, one)
    ]
    np.testing.assert_array_equal(*strips)
    assert strips[0].shape[2] == 3
    assert strips[0].shape[0] <= 96
    assert asked


@pytest.mark.parametrize(
    ("name", "emptied", "words"),
    [
        ("minimal_matches", "minimal_matches", "no minimal matches"),
        ("heat_map", "heat_map", "no heat map"),
        ("top_images", "minimal_match_members", "no minimal matches"),
        ("top_images", "top_images", "no images"),
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(
    name: str, emptied: str, words: str, tmp_path: Path
) -> None:
    made = tables()
    made[emptied] = made[emptied].iloc[:0].astype(object)
    figure = draw(name, made)
    save(figure, tmp_path / "f.svg")
    assert words in figure.texts[0].get_text()
    assert "no data for this figure" in FIGURES[name].caption(made, "e", CONFIG)


def test_layers_with_few_samples_get_an_asterisk_that_is_explained() -> None:
    axes = draw("similarity_by_depth", tables(few_samples=True)).axes[0]
    assert axes.get_xticklabels()[0].get_text() == "conv1*"
    assert "* few images for its neurons" in axes.get_xlabel()


@pytest.mark.parametrize(
    ("layers", "comparisons"), [(1, ONE), (10, STAGES), (17, ONE), (110, STAGES[2:4])]
)
@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"top_images"}))
def test_labels_do_not_overlap_for_any_number_of_layers(
    layers: int, name: str, comparisons: list[str]
) -> None:
    figure = draw(name, tables(layers, comparisons))
    lay_out(figure)
    assert max(figure.get_size_inches()) < 50
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.get_xticklabels() if text.get_text()]
        assert not any(a.overlaps(b) for a, b in pairwise(boxes))
    assert figure.axes[0].get_xlabel() or figure.get_supxlabel() or len(comparisons) > 1
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    bars = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert any(legends) != any(bars)


@pytest.mark.parametrize("comparisons", [ONE, ["last", "initial"]])
@pytest.mark.parametrize("layers", [4, 6, 10])
def test_the_long_legend_of_measures_leaves_room_for_the_layers(
    layers: int, comparisons: list[str]
) -> None:
    made = tables(layers, comparisons, few_samples=True)
    values = made["measures"]
    more = values[values["measure"] == "pwcca"].assign(measure="debiased_linear_cka")
    figure = draw("measures", made | {"measures": pd.concat([values, more])})
    lay_out(figure)
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.get_xticklabels() if text.get_text()]
        gaps = [b.x0 - a.x1 for a, b in pairwise(boxes)]
        assert min(gaps) > 2  # pixels


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    """Of every figure; in all formats, of figures with every kind of mark between them."""
    lines_hatches_points_images = ("similarity_by_depth", "minimal_matches", "top_images")
    for attempt in ("a", "b"):
        made = tables(2, comparisons=STAGES[2:4])
        for name in FIGURES:
            figure = draw(name, made)
            kinds = ("svg", "png", "pdf") if name in lines_hatches_points_images else ("svg",)
            save(figure, *(tmp_path / attempt / f"{name}.{kind}" for kind in kinds))
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_vector_figure_keeps_text_as_text(tmp_path: Path) -> None:
    save(draw("similarity_by_depth", tables()), tmp_path / "f.svg")
    texts = [e.text for e in ElementTree.parse(tmp_path / "f.svg").iter() if e.tag.endswith("text")]
    assert "conv1" in texts
    assert "Maximum matching similarity" in texts


CONFIG = {"network": {"name": "vgg11_bn"}, "data": {"name": "mnist_5k"}, "models": {}}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("similarity_by_depth", ["0.15, 0.3 and 0.5", "2 pairs", "3 draws", "small panels"]),
        ("cross_fitted", ["0.15, 0.3 and 0.5", "2 pairs", "3 draws", "Dashed", "Dotted"]),
        ("stages", ["0.3", "2 pairs", "3 draws", "Two networks"]),
        ("similarity_by_epsilon", ["2 pairs", "3 draws"]),
        ("critical_epsilons", ["2 pairs", "first draw"]),
        ("minimal_matches", ["0.3", "2 pairs", "first draw"]),
        ("measures", ["0.3", "2 pairs", "first draw"]),
        ("heat_map", ["0.3", "2 pairs", "CKA"]),
        ("universality", ["0.3", "1 network are", "initial; last"]),
        ("network_matrix", ["Not every two networks are compared: grey"]),
        ("top_images", ["fc4", "0.3", "seed 0, last", "seed 1, last"]),
    ],
)
def test_a_caption_describes_the_figure_and_names_its_tables(name: str, words: list[str]) -> None:
    made = tables(comparisons=["initial", "last"], pairs=2, draws=3)
    text = FIGURES[name].caption(made, "vgg11_bn-mnist_5k-0123456789", CONFIG)
    for part in [
        *words,
        FIGURES[name].summary,
        "vgg11_bn-mnist_5k-0123456789",
        "vgg11_bn on mnist_5k",
    ]:
        assert part in text
    for table in FIGURES[name].tables:
        assert f"tables/{table}" in text


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("heat_map", "linear_cka", "Linear CKA is not defined for a layer whose neurons are all"),
        ("measures", "value", "Some measures are not known of every pair and layer"),
    ],
)
def test_a_caption_says_why_values_are_missing(name: str, column: str, words: str) -> None:
    made = tables()
    assert words not in FIGURES[name].caption(made, "e", CONFIG)
    made[name].loc[made[name].index[0], column] = np.nan
    assert words in FIGURES[name].caption(made, "e", CONFIG)


def test_a_caption_says_when_there_are_no_permutations() -> None:
    summary = tables()["summary"].assign(null_threshold=np.nan)
    config = CONFIG | {"models": {"source": {}, "tuned": {}}}
    text = FIGURES["similarity_by_depth"].caption({"summary": summary}, "e", config)
    assert "no permutations, so the chance level is not shown" in text
    assert "models source, tuned" in text
    assert "Compared: last." in text
