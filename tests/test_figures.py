"""Figures show the tables' numbers, can be read, and are the same bytes twice."""

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from subspace_match import figures
from subspace_match.matches import LayerMatch
from subspace_match.matching.certificate import Certificate
from subspace_match.matching.minimal_sets import MinimalMatches
from subspace_match.tables import (
    measure_table,
    minimal_match_table,
    neuron_table,
    similarity_table,
)

EPSILONS = [0.15, 0.3, 0.5]


def matches(layers: int, pairs: int = 1, samples: int = 100) -> list[LayerMatch]:
    rng = np.random.default_rng(0)
    return [
        LayerMatch(
            (np.where(rng.random(12) < 0.1, np.nan, rng.random(12)), rng.random(12)),
            (np.ones(12), np.ones(12)),
            np.arange(24),
            {"seed_a": 0, "seed_b": pair + 1, "layer": f"conv{depth}", "node": "n"}
            | {"depth": depth, "kind": "conv", "samples": samples},
        )
        for pair in range(pairs)
        for depth in range(1, layers + 1)
    ]


def chance(matched: list[LayerMatch], permutations: int = 3) -> list[np.ndarray | None]:
    rng = np.random.default_rng(1)
    return [rng.uniform(0.3, 1, (permutations, 24)) for _ in matched]


def similarities(layers: int, **more: int) -> pd.DataFrame:
    matched = matches(layers, **more)
    proofs = [Certificate(e, True, True, 0.1, ("x", 0), 0.0) for e in EPSILONS]
    return similarity_table(matched, chance(matched), [proofs] * len(matched))


def measured(layers: int, **more: int) -> pd.DataFrame:
    matched, rng = matches(layers, **more), np.random.default_rng(2)
    return measure_table(matched, [{"linear_cka": rng.random(), "pwcca": 0.5} for _ in matched])


def minimal(layers: int) -> pd.DataFrame:
    found = MinimalMatches(12, np.eye(24, dtype=bool) | np.eye(24, k=12, dtype=bool), np.arange(24))
    records = [match.about | {"epsilon": 0.3} for match in matches(layers)]
    return minimal_match_table((found, record) for record in records)


def drawings(layers: int = 4, **more: int) -> dict[str, Figure]:
    neurons = neuron_table(matches(layers, **more))
    similarity = similarities(layers, **more)
    return {
        "similarity_by_depth": figures.similarity_by_depth(similarity),
        "similarity_by_epsilon": figures.similarity_by_epsilon(neurons),
        "critical_epsilons": figures.critical_epsilons(neurons),
        "minimal_matches": figures.minimal_matches(minimal(layers), similarity),
        "measures": figures.measures(measured(layers, **more), similarity),
    }


def test_a_curve_an_epsilon_goes_through_the_table_s_similarities() -> None:
    table = similarities(4)
    axes = figures.similarity_by_depth(table).axes[0]
    curves = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert curves == {
        f"{epsilon:g}": table.loc[table["epsilon"] == epsilon, "similarity"].tolist()
        for epsilon in EPSILONS
    }
    assert [text.get_text() for text in axes.get_xticklabels()] == [f"conv{i}" for i in range(1, 5)]


def test_several_pairs_are_a_mean_and_a_band() -> None:
    table = similarities(3, pairs=3)
    axes = figures.similarity_by_depth(table).axes[0]
    mean = table[table["epsilon"] == 0.5].groupby("depth")["similarity"].mean()
    line = next(line for line in axes.get_lines() if line.get_label() == "0.5")
    np.testing.assert_allclose(line.get_ydata(), mean)
    bands = [band for band in axes.collections if band.get_hatch() is None]
    assert len(bands) == len(EPSILONS)


def test_what_chance_gives_is_drawn_and_named_where_it_is_not_zero() -> None:
    table = similarities(4)
    axes = figures.similarity_by_depth(table).axes[0]
    hatched = [band for band in axes.collections if band.get_hatch()]
    assert len(hatched) == 1  # chance begins at 0.3, so at 0.5 only
    top = hatched[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(table.loc[table["epsilon"] == 0.5, "null_95"].max())
    assert "chance, 95%" in [text.get_text() for text in axes.get_legend().get_texts()]
    table["null_95"] = np.nan
    axes = figures.similarity_by_depth(table).axes[0]
    assert not [band for band in axes.collections if band.get_hatch()]


def test_measures_stand_beside_the_match_at_the_middle_epsilon() -> None:
    table, values = similarities(4), measured(4)
    lines = {line.get_label(): line for line in figures.measures(values, table).axes[0].lines}
    assert list(lines) == [r"match, $\epsilon$ = 0.3", "linear CKA", "PWCCA"]
    match = table.loc[table["epsilon"] == 0.3, "similarity"]
    np.testing.assert_allclose(lines[r"match, $\epsilon$ = 0.3"].get_ydata(), match)
    cka = values.loc[values["measure"] == "linear_cka", "value"]
    np.testing.assert_allclose(lines["linear CKA"].get_ydata(), cka)


def test_each_neuron_s_minimal_match_is_a_point() -> None:
    axes = figures.minimal_matches(minimal(3), similarities(3)).axes[0]
    points = axes.collections[0].get_offsets()
    assert len(points) == 3 * 24
    assert sorted(set(points[:, 1])) == [1, 2]
    assert "0.3" in axes.get_ylabel()


def test_without_minimal_matches_the_figure_says_nothing_wrong(tmp_path: Path) -> None:
    figure = figures.minimal_matches(minimal_match_table([]), similarities(3))
    figures.save(figure, tmp_path / "f.svg")
    assert len(figure.axes[0].collections[0].get_offsets()) == 0


def test_the_exact_curve_is_the_share_of_critical_epsilons_below() -> None:
    neurons = neuron_table(matches(2))
    axes = figures.similarity_by_epsilon(neurons).axes[0]
    for line, layer in zip(axes.get_lines(), ["conv1", "conv2"], strict=True):
        critical = neurons.loc[neurons["layer"] == layer, "critical_epsilon"]
        x, y = line.get_data()
        for epsilon in (0.1, 0.33, 0.9):
            shown = y[np.searchsorted(x, epsilon, side="right") - 1]
            assert shown == pytest.approx((critical <= epsilon).sum() / len(critical))


def test_layers_of_few_samples_are_marked_and_the_mark_is_explained() -> None:
    axes = drawings(samples=50)["similarity_by_depth"].axes[0]
    assert axes.get_xticklabels()[0].get_text() == "conv1*"
    assert "* more than 0.2 neurons a sample" in axes.get_xlabel()


@pytest.mark.parametrize("layers", [1, 10, 110])
@pytest.mark.parametrize("name", list(drawings()))
def test_any_number_of_layers_can_be_read(layers: int, name: str) -> None:
    figure = drawings(layers)[name]
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert axes.get_xlabel()
    assert axes.get_ylabel()
    legends = [axes.get_legend() is not None, len(figure.axes) > 1]
    assert sum(legends) == 1  # a legend or a colour bar
    boxes = [text.get_window_extent() for text in axes.get_xticklabels() if text.get_text()]
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_table_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    for attempt in ("a", "b"):
        for name, figure in drawings().items():
            figures.save(figure, tmp_path / attempt / f"{name}.{kind}")
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_names_in_a_vector_figure_are_text(tmp_path: Path) -> None:
    figures.save(drawings()["similarity_by_depth"], tmp_path / "f.svg")
    texts = [e.text for e in ElementTree.parse(tmp_path / "f.svg").iter() if e.tag.endswith("text")]
    assert "conv1" in texts
    assert "Maximum matching similarity" in texts
