"""The page of a run with several comparisons, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Locator, expect
from report.conftest import Opened, audit
from report.folders import GRID, LAYERS, Made, experiment, sign, without_rows

from subspace_match.results.findings import similarity_words
from subspace_match.storage.files import read_record

STAGES = {"stages": ["initial", "last"]}
MODELS = {"small": {"network": {"width": 0.25}}, "large": {"network": {"name": "resnet20"}}}
SEEDS = [(0, 1), (0, 2), (1, 2)]  # of the pairs of each comparison


RunWithPage = tuple[Made, Path]


@pytest.fixture(scope="session")
def two_with_page(once: Callable[..., RunWithPage]) -> RunWithPage:
    """Write the folder of a run that compares three seeds at two stages, and its page."""
    return once("two", seeds=(0, 1, 2), settings=STAGES)


@pytest.fixture(scope="session")
def two(two_with_page: RunWithPage) -> Made:
    """Return the run that compares three seeds at two stages. Do not change its folder."""
    return two_with_page[0]


@pytest.fixture(scope="session")
def four_with_page(once: Callable[..., RunWithPage]) -> RunWithPage:
    """Write the folder of a run that compares two models at two stages, and its page."""
    return once("four", seeds=(0, 1, 2), draws=1, settings=STAGES | {"models": MODELS})


@pytest.fixture(scope="session")
def four(four_with_page: RunWithPage) -> Made:
    """Return the run that compares two models at two stages. Do not change its folder."""
    return four_with_page[0]


@pytest.fixture(scope="session")
def file_of_four(four_with_page: RunWithPage) -> Path:
    """Return the page of ``four``."""
    return four_with_page[1]


@pytest.fixture
def opened(opening: Callable[..., Opened], two_with_page: RunWithPage) -> Opened:
    """Open the page of ``two``."""
    return opening(two_with_page[1])


def heights(figure: Locator, layer: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return the upper and the lower ends of a layer of bands, as shares, by comparison."""
    frame = figure.locator(".background").first
    height = frame.evaluate("frame => frame.getBBox().height")
    found = {}
    for band in figure.locator(f".mark-area.layer_{layer}_marks path").all():
        points = re.findall(r"[\d.]+,([\d.]+)", band.get_attribute("d") or "")
        ends = [1 - float(y) / height for y in points]
        comparison = (band.get_attribute("aria-label") or "").rpartition(": ")[2]
        found[comparison] = ends[: len(LAYERS)], ends[len(LAYERS) :]
    return found


def test_bands_of_several_comparisons_begin_at_zero_and_end_at_their_levels(
    opened: Opened,
) -> None:
    opened.go(epsilon=0.98)
    rows = opened.table("#depth-numbers")
    figures = opened.page.locator("#depth .chart").all()
    for figure, prefix in zip(figures, ("", "area_"), strict=True):
        figure.scroll_into_view_if_needed()
        figure.locator("svg").wait_for()
        for layer, level in enumerate(("chance", "labels")):
            bands = heights(figure, layer)
            assert set(bands) == {"initial", "last"}
            for comparison, (upper, lower) in bands.items():
                own = [float(r[prefix + level]) for r in rows if r["comparison"] == comparison]
                assert max(own) > 0
                assert upper == pytest.approx(own, abs=1e-4), (prefix + level, comparison)
                assert lower == pytest.approx([0] * len(LAYERS), abs=1e-4)


@pytest.mark.parametrize("epsilon", GRID)
def test_each_comparison_has_a_paragraph_as_the_terminal_has_it(
    opened: Opened, two: Made, epsilon: float
) -> None:
    paragraphs = opened.go(epsilon=epsilon).locator("#answer p").all_inner_texts()
    words = similarity_words(two.tables["summary"], epsilon)
    assert list(words) == ["initial", "last"]
    assert paragraphs == [" ".join(sentences) for sentences in words.values()]


def test_of_many_comparisons_the_chosen_one_is_described_too(
    opening: Callable[..., Opened], file_of_four: Path, four: Made
) -> None:
    page = opening(file_of_four).go(epsilon=0.3)
    paragraphs = page.locator("#answer p")
    words = similarity_words(four.tables["summary"], 0.3)
    assert list(words) == ["small initial", "large last"]
    assert paragraphs.all_inner_texts() == [" ".join(own) for own in words.values()]
    page.locator("#comparison").select_option("small last")
    summary = four.tables["summary"]
    chosen = similarity_words(summary[summary["comparison"].isin(["small last", *words])], 0.3)
    expect(paragraphs).to_have_text([" ".join(own) for own in chosen.values()])


def test_the_chosen_comparison_is_named_and_shown_everywhere(opened: Opened, two: Made) -> None:
    page = opened.go(layer="fc1", epsilon=0.3)
    chooser = page.locator("#comparison")
    assert chooser.is_visible()
    assert chooser.locator("option").all_inner_texts() == ["initial", "last"]
    for comparison in ("last", "initial"):
        chooser.select_option(comparison)
        headings = page.locator("h2").all_inner_texts()
        for start in ("All layers", "Layer fc1", "A neuron", "Layer pairs and other measures"):
            assert f"{start}: {comparison}" in headings
        pairs = [f"seed {a}, {comparison} and seed {b}, {comparison}" for a, b in SEEDS]
        assert page.locator("#pair option").all_inner_texts() == ["all pairs", *pairs]

        summary = two.tables["summary"].query("comparison == @comparison and epsilon == 0.3")
        of_layer = summary.set_index("layer")
        for row in page.locator("#overview tbody tr").all():
            layer = row.locator("button").inner_text()
            shown = row.locator(".number").first.inner_text()
            similarity = 100 * of_layer.loc[layer, "similarity"]
            assert float(shown.strip("%")) == pytest.approx(similarity, abs=0.051)
        readout = f"fc1 at epsilon 0.3: {comparison}: {of_layer.loc['fc1', 'similarity']:.1%} ("
        assert page.locator("#depth-readout").inner_text().startswith(readout)
        assert pairs[0] in page.locator("#layer-facts").inner_text()
        assert pairs[0] in page.locator("#neurons-about").inner_text()
        assert f"of all networks ({comparison}," in page.locator("#universal-about").inner_text()
        assert f"mean of 3 pairs ({comparison})" in page.locator("#between").inner_text()

        neurons = two.tables["neurons"].query(
            "comparison == @comparison and layer == 'fc1' and draw == 0 and seed_b == 1"
        )
        rows = opened.table("#neurons-numbers")
        values = [float(row["critical_epsilon_draw_0"] or "nan") for row in rows]
        np.testing.assert_equal(values, neurons["critical_epsilon"].to_numpy())


def test_saved_numbers_say_of_which_comparison_and_pair_they_are(opened: Opened, two: Made) -> None:
    page = opened.go(comparison="last", layer="fc1", epsilon=0.3)
    pair = {"comparison": "last", "pair": "seed 0, last and seed 1, last"}
    for details, wanted in (
        ("#neurons-numbers", pair | {"layer": "fc1"}),
        ("#between details >> nth=0", pair),
        ("#between details >> nth=-1", {"comparison": "last", "pairs": "mean of 3 pairs"}),
    ):
        rows = opened.table(details)
        assert rows
        assert all(row | wanted == row for row in rows)
    measures = two.tables["measures"].query("comparison == 'last' and measure == 'linear_cka'")
    means = measures.groupby("layer")["value"].mean()
    found = {row["layer"]: float(row["value"]) for row in rows if row["measure"] == "linear CKA"}
    assert found == pytest.approx(means.to_dict())
    page.locator("#pair").select_option("seed 1, last and seed 2, last")
    (pairs,) = {row["pairs"] for row in opened.table("#between details >> nth=-1")}
    assert pairs == "seed 1, last and seed 2, last"


def test_a_link_shows_the_comparison_of_its_sender(
    opening: Callable[..., Opened], two_with_page: RunWithPage
) -> None:
    sender = opening(two_with_page[1])
    page = sender.go(layer="conv2", epsilon=0.5)
    page.locator("#comparison").select_option("last")
    page.wait_for_url("**&comparison=last&pair=all")
    seen = ["#answer", "#overview", "#depth-readout", "#layer-facts", "#neurons-about", "#neuron"]
    words = [page.locator(part).inner_text() for part in seen]
    receiver = opening(two_with_page[1])
    receiver.page.goto(page.url)
    receiver.page.wait_for_selector("html[data-ready]", state="attached")
    assert [receiver.page.locator(part).inner_text() for part in seen] == words
    assert receiver.page.locator("#comparison").input_value() == "last"


@pytest.mark.parametrize(
    ("address", "chosen"),
    [
        ({"pair": 4}, ("last", "4")),
        ({"pair": 4, "comparison": "initial"}, ("last", "4")),
        ({"comparison": "last"}, ("last", "-1")),
        ({"comparison": "best"}, ("initial", "-1")),
        ({"comparison": "last", "pair": 99}, ("last", "-1")),
    ],
)
def test_a_pair_in_the_address_decides_the_comparison(
    opened: Opened, address: dict[str, str], chosen: tuple[str, str]
) -> None:
    page = opened.go(**address)
    assert (
        tuple(page.locator(f"#{name}").input_value() for name in ("comparison", "pair")) == chosen
    )
    said = page.locator("#not-here").inner_text()
    is_other = address.get("comparison", chosen[0]) != chosen[0]
    assert ("which this page does not have, or not with the rest" in said) == (
        is_other or address.get("pair") == 99
    )


def test_a_universal_neuron_is_shown_in_a_pair_of_the_chosen_comparison(opened: Opened) -> None:
    page = opened.go(comparison="last", layer="fc1", epsilon=0.3)
    opened.see_all()  # figures that are drawn on the way would move the button
    page.locator("#universal button").first.click()
    assert page.locator("#comparison").input_value() == "last"
    assert ", last and seed " in page.locator("#pair option:checked").inner_text()


@pytest.fixture(scope="session")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Write the folder of a run whose comparison "last" has no conv2."""
    one = experiment(tmp_path_factory.mktemp("lacking"), draws=1, settings=STAGES)
    tables = ("similarity", "summary", "neurons", "null", "minimal_matches", "measures")
    for table in (*tables, "minimal_match_members"):
        without_rows(one, table, "comparison == 'last' and layer == 'conv2'")
    sign(read_record(one.folder / "config.json"), one.folder)
    return one


def test_a_layer_that_the_comparison_lacks_selects_a_comparison_that_has_it(
    opening: Callable[..., Opened], written: Callable[..., Path], lacking: Made
) -> None:
    page = opening(written(lacking)).go(layer="conv2")
    page.locator("#comparison").select_option("last")
    assert page.locator("#layer option").all_inner_texts() == ["conv1", "fc1"]
    assert page.locator("#overview tbody button").all_inner_texts() == ["conv1", "fc1"]
    assert page.locator("#layer-heading").inner_text() == "Layer conv1: last"
    page.get_by_role("slider", name="Layer").press("ArrowRight")
    assert page.locator("#layer-heading").inner_text() == "Layer conv2: initial"
    assert page.locator("#comparison").input_value() == "initial"


def test_a_layer_in_the_figure_of_another_run_keeps_the_comparison_if_it_has_the_layer(
    opening: Callable[..., Opened], written: Callable[..., Path], made: Made, lacking: Made
) -> None:
    page = opening(written(made, lacking)).go(run=0, layer="conv1")
    assert not page.locator("#comparison").is_visible()  # of the first run, which has only "last"
    slider = page.locator("#depth [role=slider]").last
    slider.press("End")
    assert page.locator("#run").input_value() == "1"
    assert page.locator("#layer-heading").inner_text() == "Layer fc1: last"
    page.locator("#run").select_option("0")
    page.locator("#layer").select_option("conv1")
    slider.press("Home")
    assert page.locator("#layer-heading").inner_text() == "Layer conv1: last"
    page.locator("#run").select_option("0")
    slider.scroll_into_view_if_needed()
    slider.locator("svg").wait_for()
    frame = slider.locator(".background").first.bounding_box()
    assert frame is not None
    page.mouse.click(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    assert page.locator("#layer-heading").inner_text() == "Layer conv2: initial"


def test_thin_lines_are_the_pairs_of_the_chosen_comparison(opened: Opened) -> None:
    page = opened.go(layer="fc1", epsilon=0.3)
    figure = page.locator("#depth .chart").first
    figure.locator("svg").wait_for()
    for comparison in ("last", "initial"):
        page.locator("#comparison").select_option(comparison)
        thin = figure.locator(".layer_3_marks path")
        expect(thin).to_have_count(3)
        for line in thin.all():
            expect(line).to_have_attribute("aria-label", re.compile(f"series: {comparison}"))


def test_curves_have_the_colours_of_their_comparisons(opened: Opened, two: Made) -> None:
    page = opened.go(layer="fc1", epsilon=0.3)
    curve = page.locator("#curve")
    curve.scroll_into_view_if_needed()
    expect(curve.locator(".role-legend-label text")).to_have_text(["initial", "last"])
    lines = curve.locator("[class*=layer_3_marks] path")
    assert lines.count() == 6
    strokes = lines.evaluate_all("all => all.map((one) => one.getAttribute('stroke'))")
    assert [strokes.count(colour) for colour in dict.fromkeys(strokes)] == [3, 3]
    # What labels alone explain, of one pair, is grey as its area is, not blue.
    labels = [curve.locator(f".layer_1_layer_{n}_marks path") for n in (0, 1)]
    assert labels[0].get_attribute("fill") == labels[1].get_attribute("stroke")
    words = []
    for comparison, numbers in (("initial", range(3)), ("last", range(3, 6))):
        own = [
            np.mean([two.paths[n, "fc1", draw].similarity(0.3) for draw in (0, 1)]) for n in numbers
        ]
        low, high = (f"{share:.1%}" for share in (min(own), max(own)))
        words.append(f"{comparison} {low} to {high} over 3 pairs")
    assert page.locator("#curve-readout").inner_text() == f"At 0.3: {'; '.join(words)}"


@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_comparisons_take_no_room_from_their_figures(
    opening: Callable[..., Opened], file: Path, file_of_four: Path, width: int
) -> None:
    frames = []
    for shown in (file, file_of_four):
        page = opening(shown, size=(width, 900)).go(layer="fc1", pair="all")
        figures = [*page.locator("#depth .chart").all(), page.locator("#curve")]
        for figure in figures:
            figure.scroll_into_view_if_needed()
            figure.locator("svg").wait_for()
            box = figure.bounding_box()
            assert box is not None
            for name in figure.locator(".role-legend-label text").all():
                label = name.bounding_box()
                assert label is not None
                assert label["x"] + label["width"] <= box["x"] + box["width"]
        frame = "svg => svg.querySelector('.background').getBBox().height"
        frames.append([figure.locator("svg").evaluate(frame) for figure in figures])
    for of_one, of_four in zip(*frames, strict=True):
        assert of_four >= 0.9 * of_one


def test_many_pairs_are_counted_by_comparison(
    opening: Callable[..., Opened], file_of_four: Path
) -> None:
    facts = opening(file_of_four).go().locator("#compared").inner_text()
    for comparison in ("small initial", "small last", "large initial", "large last"):
        assert f"{comparison}: 3 pairs of 3 networks" in facts


@pytest.mark.parametrize("width", [360, 1280])
def test_the_accessibility_audit_finds_nothing(
    opening: Callable[..., Opened], file_of_four: Path, width: int
) -> None:
    opened = opening(file_of_four, size=(width, 800))
    opened.go(comparison="large last", layer="fc1")
    audit(opened)


def test_of_more_comparisons_than_colours_the_chosen_one_is_in_bold(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    stages = {"stages": ["initial", *range(1, 8), "last"], "training": {"epochs": 8}}
    one = experiment(tmp_path, layers=LAYERS[:2], seeds=(0, 1, 2), draws=1, settings=stages)
    page = opening(written(one)).go(epsilon=0.5, layer="conv2", comparison="last")
    figure = page.locator("#depth .chart").first
    figure.locator("svg").wait_for()
    legend = figure.locator(".role-legend-label text")
    assert set(legend.all_text_contents()) <= {"in-sample", "cross-fitted", "consensus"} | {
        "labels alone",
        "chance",
    }
    caption = page.locator("#depth figcaption").first
    expect(caption).to_have_text("Similarity at epsilon 0.5: last; thin: the others")
    expect(figure.locator(".layer_0_marks path")).to_have_count(1)
    # Its three pairs, and the eight other comparisons.
    expect(figure.locator(".layer_3_marks path")).to_have_count(11)
    readout = page.locator("#depth-readout")
    assert readout.inner_text().startswith("conv2 at epsilon 0.5: last: ")
    assert "epoch" not in readout.inner_text()
    page.locator("#comparison").select_option("epoch 7")
    expect(caption).to_have_text("Similarity at epsilon 0.5: epoch 7; thin: the others")
    own = [one.paths[n, "conv2", 0].similarity(0.5) for n in range(21, 24)]
    shares = [f"{share:.1%}" for share in own]
    readout = page.locator("#curve-readout")
    expect(readout).to_contain_text(f"At 0.5: {shares[0]}, {shares[1]} and {shares[2]} in the")
