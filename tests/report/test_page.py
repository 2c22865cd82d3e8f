"""Use the page as a reader does, in a real browser."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, expect
from report.conftest import Opened, audit
from report.folders import GRID, LAYERS, Made, experiment, sign, without_rows

from subspace_match.results.findings import similarity_words
from subspace_match.results.tables import left_out_table, summary_table
from subspace_match.storage.files import read_record, write_table

EPSILONS = [0.0, 0.0371, 0.15, 0.2999, 0.3, 0.41, 0.505, 0.875, 0.999]


def slide(page: Page, epsilon: float) -> None:
    """Move the slider; if it has no such position, type the number."""
    if round(epsilon, 3) == epsilon:
        page.locator("#epsilon").fill(str(epsilon))
        page.wait_for_function("e => document.querySelector('#exact').value == e", arg=epsilon)
    else:
        page.locator("#exact").fill(str(epsilon))
        page.locator("#exact").press("Enter")


def mark_value(page: Page) -> str | None:
    return page.get_by_role("slider", name="Layer").get_attribute("aria-valuetext")


def test_the_page_agrees_with_the_match_paths_at_every_epsilon(opened: Opened, made: Made) -> None:
    page = opened.go()
    for epsilon in EPSILONS:
        slide(page, epsilon)
        rows = opened.table("#depth-numbers")
        assert [row["layer"] for row in rows] == list(LAYERS)
        for row in rows:
            own = np.array(
                [
                    [made.paths[pair, row["layer"], draw].similarity(epsilon) for draw in (0, 1)]
                    for pair in range(3)
                ]
            )
            assert float(row["epsilon"]) == epsilon
            assert float(row["similarity"]) == pytest.approx(own.mean(), abs=1e-14)
            assert (row["low"] == "") == (epsilon not in GRID)


def test_the_similarity_of_one_pair_equals_the_match_path_to_the_last_digit(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    one = experiment(tmp_path, draws=1)
    opened = opening(written(one))
    page = opened.go()
    # At the critical epsilons themselves, <= and < differ.
    critical = one.paths[0, "fc1", 0].critical_epsilon
    for epsilon in [*EPSILONS, *sorted(critical[~np.isnan(critical)])[2:5]]:
        slide(page, float(epsilon))
        for row in opened.table("#depth-numbers"):
            assert float(row["similarity"]) == one.paths[0, row["layer"], 0].similarity(epsilon)
            assert row["interval_over"] == "images"


def test_the_page_agrees_with_the_tables_on_the_grid(opened: Opened, made: Made) -> None:
    page = opened.go()
    summary = made.tables["summary"].set_index(["layer", "epsilon"])
    columns = {
        **{name: name for name in ("similarity", "cross_fitted", "consensus", "area")},
        **{"low": "low_networks", "high": "high_networks"},
        **{"chance": "null_threshold", "labels": "class_null_threshold"},
        **{"area_low": "area_low_networks", "area_high": "area_high_networks"},
        **{"area_chance": "area_null_threshold", "area_labels": "area_class_null_threshold"},
        **{"area_cross_fitted": "cross_fitted_area", "area_p_value": "area_p_value"},
    }
    for epsilon in GRID:
        slide(page, epsilon)
        for row in opened.table("#depth-numbers"):
            of_table = summary.loc[(row["layer"], epsilon)]
            assert row["interval_over"] == "networks"
            for column, name in columns.items():
                assert float(row[column]) == pytest.approx(of_table[name], abs=1e-12), column


def test_a_mean_over_draws_that_some_pairs_lack_is_that_of_the_table(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    """Neurons that are dead in one draw only can leave it more live ones than half the images."""
    one = experiment(tmp_path, seeds=(0, 1, 2), draws=2)
    tables = {name: one.tables[name].copy() for name in ("similarity", "neurons")}
    for table in tables.values():
        lacking = table["layer"].eq("fc1") & table["seed_b"].eq(1) & table["draw"].eq(1)
        columns = table.columns.str.contains("cross_fitted|held_out|gap")
        table.loc[lacking, columns] = np.nan
    expected = summary_table(tables["similarity"]).set_index(["layer", "epsilon"])
    summary = one.tables["summary"].set_index(["layer", "epsilon"])
    columns = ["cross_fitted", "held_out", "gap", "cross_fitted_area", "held_out_area"]
    summary[columns] = expected[columns]
    for name, table in {**tables, "summary": summary.reset_index()}.items():
        write_table(table, one.folder / "tables" / f"{name}.parquet")
    sign(read_record(one.folder / "config.json"), one.folder)
    opened = opening(written(one))
    page = opened.go()
    for epsilon in GRID:
        slide(page, epsilon)
        for row in opened.table("#depth-numbers"):
            wanted = summary.loc[(row["layer"], epsilon), "cross_fitted"]
            assert float(row["cross_fitted"]) == pytest.approx(wanted, abs=1e-12)


def test_two_networks_have_an_interval_over_images(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    one = experiment(tmp_path, draws=1)
    opened = opening(written(one))
    page = opened.go(layer="fc1", epsilon=0.3)
    summary = one.tables["summary"].set_index(["layer", "epsilon"])
    for row in opened.table("#depth-numbers"):
        of_table = summary.loc[(row["layer"], 0.3)]
        for column in ("low", "high", "area_low", "area_high"):
            wanted = pytest.approx(of_table[f"{column}_images"], abs=1e-12)
            assert float(row[column]) == wanted
    assert "95% interval over images" in page.locator("#depth-readout").inner_text()
    assert not page.locator("#many").is_visible()


@pytest.mark.parametrize(
    ("epsilon", "known"),
    [(0.0, 0.0), (0.901, 0.91), (0.9899, 0.99), (0.991, 0.991), (0.9951, 0.996), (0.999999, 1.0)],
)
def test_the_chance_level_between_known_epsilons_is_never_too_low(
    opened: Opened, made: Made, epsilon: float, known: float
) -> None:
    page = opened.go()
    slide(page, epsilon)
    null = made.tables["null"]
    for row in opened.table("#depth-numbers"):
        at = null[(null["layer"] == row["layer"]) & (null["epsilon"] == known)]
        assert float(row["epsilon"]) == epsilon
        assert float(row["chance"]) == pytest.approx(at["null_threshold"].mean())
        assert float(row["labels"]) == pytest.approx(at["class_null_threshold"].mean())
    assert "unknown" not in page.locator("#depth-readout").inner_text()


def test_the_chance_level_is_exact_on_the_grid_and_unknown_above_what_a_table_has(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    one = experiment(tmp_path, draws=1)
    file = one.folder / "tables" / "null.parquet"
    null = pd.read_parquet(file)
    # As of a grid with 0.905, and as in folders of older versions, which end at 0.99.
    more = null[null["epsilon"] == 0.91].assign(epsilon=0.905, null_threshold=0.125)
    pd.concat([null[null["epsilon"] <= 0.99], more]).to_parquet(file)
    sign(read_record(one.folder / "config.json"), one.folder)
    opened = opening(written(one))
    page = opened.go(epsilon=0.905)
    assert {row["chance"] for row in opened.table("#depth-numbers")} == {"0.125"}
    slide(page, 0.9051)
    assert {row["chance"] for row in opened.table("#depth-numbers")} != {"0.125"}
    slide(page, 0.995)
    assert {row["chance"] for row in opened.table("#depth-numbers")} == {""}
    assert "In every layer the chance level is unknown." in page.locator("#answer").inner_text()


def test_epsilons_of_the_grid_between_hundredths_have_the_levels_of_the_tables(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    grid = [0.1234, 0.3, 0.505, 0.995]
    one = experiment(tmp_path, draws=1, grid=grid)
    opened = opening(written(one))
    page = opened.go()
    summary = one.tables["summary"].set_index(["layer", "epsilon"])
    for epsilon in grid:
        slide(page, epsilon)
        for row in opened.table("#depth-numbers"):
            of_table = summary.loc[(row["layer"], epsilon)]
            for column, name in (("chance", "null_threshold"), ("labels", "class_null_threshold")):
                assert float(row[column]) == of_table[name]
        (sentences,) = similarity_words(one.tables["summary"], epsilon).values()
        assert page.locator("#answer").inner_text() == " ".join(sentences)


def test_the_answer_describes_all_layers_as_the_terminal_does(
    opened: Opened,
    made: Made,
    opening: Callable[..., Opened],
    written: Callable[..., Path],
    tmp_path: Path,
) -> None:
    two = experiment(tmp_path, draws=1, without=["null"])
    for one, of_page in ((made, opened), (two, opening(written(two)))):
        page = of_page.go()
        for epsilon in GRID:
            slide(page, epsilon)
            summary = one.tables["summary"]
            if one is two:  # the page was made without the table null
                chance = [name for name in summary if "p_value" in name or "null" in name]
                summary = summary.assign(**dict.fromkeys(chance, np.nan))
            (sentences,) = similarity_words(summary, epsilon).values()
            assert page.locator("#answer").inner_text() == " ".join(sentences)


def test_the_answer_claims_no_more_than_the_evidence(opened: Opened) -> None:
    words = opened.go(epsilon=0.5).locator("#answer").inner_text()
    # Of fc1, permutations within classes give what is observed.
    assert "in fc1 it is not in every pair more than labels alone explain" in words
    assert "In conv1 and conv2 it is in every pair more than chance and labels alone" in words
    assert "In every layer there are few images for the neurons; the cross-fitted" in words


def test_the_page_leads_with_a_table_of_all_layers(opened: Opened, made: Made) -> None:
    page = opened.go(layer="conv1", epsilon=0.5)
    table = page.locator("#overview table")
    titles = table.locator("thead th").all_inner_texts()
    columns = {"Similarity": "similarity", "Cross-fitted": "cross_fitted", "Area": "area"}
    columns |= {"Chance": "null_threshold", "Labels alone": "class_null_threshold"}
    assert set(titles) == {"Layer", "Neurons", "In all networks", *columns}
    summary = made.tables["summary"].set_index(["layer", "epsilon"])
    universality = made.tables["universality"]
    for layer, row in zip(LAYERS, table.locator("tbody tr").all(), strict=True):
        cells = row.locator("th, td").all_inner_texts()
        shown = dict(zip(titles, cells, strict=True))
        assert (shown["Layer"], shown["Neurons"]) == (f"{layer} *", "12 + 12")
        everywhere = universality.loc[universality["layer"] == layer, "share_0.5"] == 1
        of_table = {t: summary.loc[(layer, 0.5), name] for t, name in columns.items()}
        for title, value in (of_table | {"In all networks": everywhere.mean()}).items():
            assert float(shown[title].strip("%")) == pytest.approx(100 * value, abs=0.051), title
    page.locator("#overview").get_by_role("button", name="fc1").click()
    assert page.locator("#layer-heading").inner_text() == "Layer fc1"
    assert page.evaluate("document.activeElement.textContent") == "fc1"


def test_the_page_opens_with_a_neuron_of_the_smallest_minimal_match(
    opened: Opened, made: Made
) -> None:
    page = opened.go(pair=1, layer="fc1")
    minimal = made.minimal[1, "fc1"]
    sizes = np.where(minimal.match_of < 0, 99, minimal.sizes)
    name = page.locator("#neuron h3").inner_text().split()
    number = int(name[2]) + (12 if name[1] == "B" else 0)
    assert sizes[number] == sizes.min() < 99
    assert "&neuron=" not in page.url
    # The table of neurons fits its column.
    assert page.locator(".scroll").evaluate("box => box.scrollWidth <= box.clientWidth")
    assert page.locator("#overview").evaluate("box => box.scrollWidth <= box.clientWidth")


def test_the_readout_follows_the_pointer(opened: Opened, made: Made) -> None:
    page = opened.go(layer="conv1", epsilon=0.5)
    page.locator("#depth .chart").first.scroll_into_view_if_needed()
    box = page.locator("#depth .chart").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    summary = made.tables["summary"].set_index(["layer", "epsilon"])["similarity"]
    words = page.locator("#depth-readout").inner_text()
    assert words.startswith(f"fc1 at epsilon 0.5: {100 * summary['fc1', 0.5]:.1f}% (")
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 0.5 * box["height"])
    assert page.locator("#layer-heading").inner_text() == "Layer fc1"


def test_a_click_on_the_curve_selects_the_epsilon_below_it(opened: Opened) -> None:
    page = opened.go(layer="fc1", epsilon=0.3, pair=0)
    page.locator("#curve").scroll_into_view_if_needed()
    page.locator("#curve svg").wait_for()
    opened.see_all()
    page.locator("#curve").scroll_into_view_if_needed()
    lines = page.locator("#curve .role-mark.mark-rule line")
    at, top = lines.last.evaluate(
        "line => [line.getBoundingClientRect().left, line.getBoundingClientRect().top]"
    )
    page.mouse.move(at, top + 20)
    # One pixel is 0.003.
    shown = page.locator("#curve-readout").inner_text().split(":")[0].removeprefix("At ")
    assert float(shown) == pytest.approx(0.3, abs=0.005)
    page.mouse.move(0, 0)
    expect(page.locator("#curve-readout")).to_contain_text("At 0.3: ")
    # At the right end the epsilon stays below 1, and so in reach.
    right = page.locator("#curve .background").first.bounding_box()
    assert right is not None
    page.mouse.click(right["x"] + right["width"] - 0.6, top + 20)
    assert 0.99 < float(page.locator("#exact").input_value()) < 1


def test_the_keyboard_reaches_the_partners_of_a_neuron(opened: Opened, made: Made) -> None:
    page = opened.go(pair=0)
    minimal = made.minimal[0, "fc1"]
    # A neuron of A that has a minimal match.
    number = next(n for n in range(12) if minimal.match_of[n] >= 0)
    match = minimal["x", number]

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("#skip")
    page.keyboard.press("Enter")
    tab_to("#depth [role=slider]")
    page.keyboard.press("End")
    assert mark_value(page).startswith("fc1: ")  # type: ignore[union-attr]
    tab_to(".neuron-table tbody button")
    for _ in range(number):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#neuron h3").inner_text() == f"Neuron A {number} of fc1"
    tab_to("#neuron button")
    for _ in range(len(match.x)):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == f"B {match.y[0]}"
    page.keyboard.press("Enter")
    assert page.locator("#neuron h3").inner_text() == f"Neuron B {match.y[0]} of fc1"
    # The focus is still there, so that Tab goes on to the next partner.
    assert page.evaluate("document.activeElement.textContent") == f"B {match.y[0]}"
    assert page.evaluate("document.activeElement.closest('#neuron') !== null")


def test_the_partners_and_images_of_a_neuron_are_those_of_the_tables(
    opened: Opened, made: Made
) -> None:
    page = opened.go(pair=1, layer="fc1", epsilon=0.3)
    minimal = made.minimal[1, "fc1"]
    assert (minimal.match_of >= 0).any()
    # Pair 1 has seeds 0 and 2: image n + k ranks first for neuron n of network k.
    for side, key, first in (("a", "x", 0), ("b", "y", 2)):
        for number in range(12):
            page.evaluate("([n]) => { location.hash = location.hash.replace(/&neuron=[^&]*/, '')"
                          " + `&neuron=${n}` }", [f"{side}{number}"])  # fmt: skip
            title = f"Neuron {side.upper()} {number} of fc1"
            page.get_by_role("heading", name=title, exact=True).wait_for()
            names = page.locator("#neuron .partners button").all_inner_texts()
            if minimal.match_of[number + (12 if side == "b" else 0)] < 0:
                assert names == [f"{side.upper()} {number}"]
                continue
            match = minimal[key, number]
            assert names == [f"A {n}" for n in match.x] + [f"B {n}" for n in match.y]
            own = page.locator("#neuron li", has=page.locator("[aria-current=true]"))
            titles = own.locator(".tile").evaluate_all("all => all.map(one => one.title)")
            wanted = [(number + first + rank) % 30 for rank in range(9)]
            assert titles == [f"image {image}, class {image % 10}" for image in wanted]


def test_an_address_that_the_reader_types_is_never_lost(opened: Opened) -> None:
    """The page may be about to write its own, and has not yet learned of the reader's."""
    # Timers run, and time passes, when the test says so.
    opened.page.add_init_script("window.setTimeout = (run) => { window.later = run; return 1; }")
    page = opened.go(layer="fc1", epsilon=0.3)
    page.evaluate(
        """() => {
          const exact = document.querySelector("#exact");
          let clock = performance.now() + 1000;
          performance.now = () => clock;
          for (const value of [0.1, 0.2]) {
            exact.value = value;
            exact.dispatchEvent(new Event("change"));
          }
          clock += 300;
          location.hash = "layer=fc1&epsilon=0.4&neuron=a7";
          window.later();
        }"""
    )
    page.get_by_role("heading", name="Neuron A 7 of fc1", exact=True).wait_for()
    assert page.locator("#exact").input_value() == "0.4"


def test_a_neuron_has_its_draws_and_its_levels_of_chance_and_labels(
    opened: Opened, made: Made
) -> None:
    epsilon = 0.3
    page = opened.go(pair=0, layer="fc1", neuron="a3", epsilon=epsilon)
    table = made.tables["neurons"]
    own = table.query(
        "seed_a == 0 and seed_b == 1 and layer == 'fc1' and network == 'a' and neuron == 3"
    ).sort_values("draw")
    inside = (own["critical_epsilon"] <= epsilon).sum()
    assert len(own) == 2
    row = page.locator(".neuron-table tbody tr.selected td").last
    expect(row).to_have_text(f"{inside} of 2 draws" if inside else "no")
    first = own.iloc[0]
    words = page.locator("#neuron p").first.inner_text()
    for what, prefix in (("chance", ""), ("labels alone", "class_")):
        level, p_value = first[f"{prefix}null_critical_epsilon"], first[f"{prefix}p_value"]
        verb = "explain" if prefix else "explains"
        verdict = f"more than {what} {verb} (needs less than {level:.4g}; p = {p_value:.2g})"
        assert (f"not {verdict}" in words) == (p_value > 0.05)
        assert verdict in words


@pytest.mark.parametrize(("layer", "is_sampled"), [("conv1", True), ("fc1", False)])
def test_the_page_says_that_only_sampled_positions_of_a_map_count_for_its_images(
    opened: Opened, layer: str, is_sampled: bool
) -> None:
    page = opened.go(layer=layer, neuron="a1", epsilon=0.3)
    text = page.locator("#neuron").inner_text()
    assert "the images that activate it most, strongest activation first." in text
    assert ("Only the positions of the first draw count." in text) == is_sampled


def test_a_tile_shows_its_image(opened: Opened) -> None:
    page = opened.go(pair=0, layer="fc1", neuron="a3", epsilon=0.3)
    tile = page.locator("#neuron [aria-current=true] + .strip .tile").first
    assert tile.get_attribute("title") == "image 3, class 3"
    shown = tile.screenshot()
    import io

    from PIL import Image

    pixel = np.asarray(Image.open(io.BytesIO(shown)).convert("L"))[18, 18]
    assert abs(int(pixel) - 3 * 8) <= 4


def test_the_most_and_least_universal_neurons_are_those_of_the_table(
    opened: Opened, made: Made
) -> None:
    page = opened.go(layer="fc1", epsilon=0.3)
    table = made.tables["universality"]
    own = table[(table["layer"] == "fc1") & ~table["dead"]].sort_values("median_critical_epsilon")
    for end, wanted in (("most", own[:6]), ("least", own[:-7:-1])):
        heading = page.get_by_role("heading", name=f"The {end} universal neurons of fc1")
        rows = page.locator("#universal > div", has=heading).locator("li")
        medians = [f"{float(f'{m:.4g}'):g}" for m in wanted["median_critical_epsilon"]]
        for text, median, (_, row) in zip(
            rows.all_inner_texts(), medians, wanted.iterrows(), strict=True
        ):
            assert f"median critical epsilon {median};" in text
            matched = round(row["share_0.3"] * row["others"])
            assert f"matched in {matched} of 2 other networks at epsilon 0.3" in text
        assert rows.first.locator(".tile").count() == 9
    (seed, neuron) = own[["seed", "neuron"]].iloc[-1]
    button = page.get_by_role("button", name=f"seed {seed}: neuron {neuron}", exact=True)
    button.click()
    pair = page.locator("#pair").input_value()
    assert pair == ("0" if seed < 2 else "1")  # the first pair that has the network
    side = "A" if seed == 0 else "B"
    assert page.locator("#neuron h3").inner_text() == f"Neuron {side} {neuron} of fc1"
    assert page.evaluate("document.activeElement.id") == "neuron-heading"


def test_the_networks_of_a_layer_are_compared_with_each_other(opened: Opened, made: Made) -> None:
    page = opened.go(layer="conv2")
    matrix = made.tables["network_matrix"]
    areas = matrix.loc[matrix["layer"] == "conv2", "area"]
    label = page.locator("#matrix").get_attribute("aria-label")
    assert label == f"3 by 3 networks, areas of {areas.min():.1%} to {areas.max():.1%}"
    assert "Networks that are alike are side by side" in page.locator("#many").inner_text()
    page.locator("#matrix").scroll_into_view_if_needed()
    page.locator("#matrix canvas").wait_for()


def test_more_pairs_than_colours_leave_room_for_their_curves(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    many = experiment(tmp_path, seeds=range(5), draws=1)
    page = opening(written(many), size=(360, 800)).go(layer="fc1", pair=-1)
    curve = page.locator("#curve")
    curve.scroll_into_view_if_needed()
    expect(curve.locator(".role-axis-title")).to_have_text(["Epsilon", "Similarity"])
    expect(curve.locator(".role-legend")).to_have_count(0)
    values = [path.similarity(0.3) for (_, layer, _), path in many.paths.items() if layer == "fc1"]
    expect(page.locator("#curve-readout")).to_have_text(
        f"At 0.3: {min(values):.1%} to {max(values):.1%} over 10 pairs"
    )
    expect(page.locator("#compared")).to_contain_text("last: 10 pairs of 5 networks")


def test_neurons_can_be_filtered_and_sorted(opened: Opened, made: Made) -> None:
    page = opened.go(pair=0, layer="fc1", epsilon=0.3)
    neurons = made.tables["neurons"]
    own = neurons[(neurons["layer"] == "fc1") & (neurons["draw"] == 0) & (neurons["seed_b"] == 1)]
    own = own[own["seed_a"] == 0]
    rows = page.locator(".neuron-table tbody th")
    page.get_by_role("button", name="Critical epsilon").click()
    page.locator("[name=critical-most]").fill("0.35")
    wanted = own[own["critical_epsilon"] <= 0.35].sort_values("critical_epsilon", kind="stable")
    names = [f"{n.upper()} {k}" for n, k in zip(wanted["network"], wanted["neuron"], strict=True)]
    assert 3 < len(names) < 24
    assert rows.all_inner_texts() == names
    assert page.locator("#neurons-count").inner_text() == f"{len(names)} of 24 neurons."
    page.locator("[name=network]").select_option("b")
    assert rows.all_inner_texts() == [name for name in names if name.startswith("B")]
    page.locator("[name=network]").select_option("")
    page.locator("[name=critical-most]").fill("")
    page.get_by_role("button", name="Norm").click()
    page.get_by_role("button", name="Norm").click()
    by_norm = own.sort_values("norm", ascending=False)
    assert rows.first.inner_text() == f"{by_norm['network'].iloc[0].upper()} " + str(
        by_norm["neuron"].iloc[0]
    )
    assert page.locator("th[aria-sort=descending]").inner_text() == "Norm"


def test_a_link_reproduces_the_view(opening: Callable[..., Opened], file: Path) -> None:
    sender = opening(file)
    page = sender.go()
    slide(page, 0.4321)
    page.locator("#pair").select_option("2")
    page.locator("#layer").select_option("conv2")
    page.locator(".neuron-table tbody button").nth(4).click()
    page.locator("#depth-numbers summary").click()
    seen = ["#answer", "#depth-readout", "#layer-facts", "#neurons-about", "#neuron"]
    words = [page.locator(part).inner_text() for part in seen]
    page.wait_for_url("**#layer=conv2&neuron=a4&epsilon=0.4321&pair=2")
    receiver = opening(file)
    receiver.page.goto(page.url)
    receiver.page.wait_for_selector("html[data-ready]", state="attached")
    assert [receiver.page.locator(part).inner_text() for part in seen] == words
    assert receiver.page.locator("#exact").input_value() == "0.4321"


def of_models_of_different_depth(folder: Path) -> Made:
    """Write the folder of a run in which network 2 has no conv2."""
    one = experiment(folder, seeds=(0, 1, 2), draws=1)
    for table in ("similarity", "neurons", "null", "minimal_matches", "minimal_match_members"):
        without_rows(one, table, "layer == 'conv2' and seed_b == 2")
    without_rows(one, "measures", "layer == 'conv2' and seed_b == 2")
    sign(read_record(one.folder / "config.json"), one.folder)
    return one


def test_a_layer_that_the_selected_pair_lacks_selects_a_pair_that_has_it(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    page = opening(written(of_models_of_different_depth(tmp_path))).go(pair=1, layer="conv1")
    assert page.locator("#layer option").all_inner_texts() == ["conv1", "fc1"]
    depth = page.get_by_role("slider", name="Layer")
    depth.press("ArrowRight")
    assert page.locator("#layer-heading").inner_text() == "Layer conv2"
    assert page.locator("#pair").input_value() == "0"
    depth.press("ArrowRight")
    assert page.locator("#layer-heading").inner_text() == "Layer fc1"
    page.locator("#pair").select_option("2")
    page.locator("#overview").get_by_role("button", name="conv2").click()
    assert page.locator("#layer-heading").inner_text() == "Layer conv2"
    assert page.locator("#pair").input_value() == "0"
    # A pair that lacks the layer shows its first one.
    page.locator("#pair").select_option("1")
    assert page.locator("#layer-heading").inner_text() == "Layer conv1"


def click_on_cell(page: Page, row: float, column: float) -> None:
    """Click on the first heat map at these parts of its height, from above, and width."""
    box = page.locator("#between canvas").first.bounding_box()
    assert box is not None
    # Titles and labels are at the left and below, the legend at the right.
    x = box["x"] + 110 + column * (box["width"] - 210)
    page.mouse.click(x, box["y"] + 10 + row * (box["height"] - 100))


def test_a_layer_that_was_left_out_cannot_be_selected_in_the_heat_map(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    one = experiment(tmp_path, draws=1)
    tables = (
        *("similarity", "summary", "neurons", "null", "measures"),
        *("minimal_matches", "minimal_match_members"),
    )
    for table in tables:
        without_rows(one, table, "layer == 'conv2'")
    sign(read_record(one.folder / "config.json"), one.folder)
    page = opening(written(one)).go(layer="fc1")
    page.locator("#between .chart").first.scroll_into_view_if_needed()
    page.locator("#between canvas").first.wait_for()
    click_on_cell(page, 0.5, 0.1)
    assert page.locator("#layer-heading").inner_text() == "Layer fc1"
    words = "conv2 of A is not among the compared layers, so it cannot be selected."
    assert page.locator("#between > .readout").inner_text() == words
    click_on_cell(page, 0.9, 0.1)
    assert page.locator("#layer-heading").inner_text() == "Layer conv1"


def test_readouts_do_not_outlive_what_they_describe(opened: Opened) -> None:
    page = opened.go(layer="fc1", pair=0, epsilon=0.3)
    opened.see_all()
    page.locator("#between .chart").first.scroll_into_view_if_needed()
    page.locator("#between canvas").first.wait_for()
    click_on_cell(page, 0.1, 0.1)
    readout = page.locator("#between > .readout")
    expect(readout).to_contain_text("fc1 of A and conv1 of B: ")
    slide(page, 0.5)
    assert readout.inner_text() == ""
    sizes = page.locator("#sizes")
    sizes.scroll_into_view_if_needed()
    sizes.locator(".mark-rect path").first.hover()
    expect(page.locator("#sizes-readout")).to_contain_text("minimal matches of")
    page.locator("#layer").select_option("conv1")
    assert page.locator("#sizes-readout").inner_text() == ""


COUNTING = """
window.observed = 0;
for (const kind of ["IntersectionObserver", "ResizeObserver"]) {
  const { observe, disconnect } = window[kind].prototype;
  window[kind].prototype.observe = function (...more) {
    window.observed++;
    return observe.apply(this, more);
  };
  window[kind].prototype.disconnect = function () {
    window.observed--;
    return disconnect.apply(this);
  };
}
"""


def test_figures_of_another_run_are_forgotten(
    opening: Callable[..., Opened], written: Callable[..., Path], made: Made, tmp_path: Path
) -> None:
    other = experiment(tmp_path, name="other", draws=1)
    opened = opening(written(made, other))
    opened.page.add_init_script(COUNTING)
    page = opened.go()
    opened.see_all()
    before = page.evaluate("window.observed")
    assert before > 0
    for run in ("1", "0") * 2:
        page.locator("#run").select_option(run)
        page.locator("#between .chart").last.scroll_into_view_if_needed()
    assert page.evaluate("window.observed") == before


def test_the_page_follows_a_slider_that_moves_fast(
    opening: Callable[..., Opened], file: Path
) -> None:
    opened = opening(file)
    # As Safari does after 100 changes of the address in 10 s, only sooner.
    opened.page.add_init_script(
        """
        let calls = 0;
        setInterval(() => { calls = 0; }, 2_000);
        const { replaceState } = History.prototype;
        History.prototype.replaceState = function (...more) {
          if (++calls > 20) throw new DOMException("more than 20 times in 2 seconds");
          return replaceState.apply(this, more);
        };
        """
    )
    page = opened.go()
    page.evaluate(
        """async () => {
          const slider = document.querySelector("#epsilon");
          for (let step = 1; step <= 40; step++) {
            slider.value = step / 1000;
            slider.dispatchEvent(new Event("input"));
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
          }
        }"""
    )
    assert page.locator("#exact").input_value() == "0.04"
    page.wait_for_url("**&epsilon=0.04&**")


def test_the_only_layer_has_lines(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    page = opening(written(experiment(tmp_path, layers=["fc1"], draws=1))).go()
    figure = page.locator("#depth .chart").first
    figure.locator("svg").wait_for()
    # The pair, in-sample, cross-fitted, labels alone, chance; and the rule at the selected layer.
    expect(figure.locator(".mark-rule.role-mark line")).to_have_count(6)


def labels_of_layers(page: Page) -> list[str]:
    """Return the labels of the horizontal axis of the figure by depth."""
    labels = page.locator("#depth .chart").first.locator(".role-axis-label text")
    return [text for text in labels.all_text_contents() if "%" not in text]


def test_long_names_of_layers_can_be_told_apart(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    layers = [f"model.encoder.layer.{n}.attention.output.dense" for n in (2, 10, 11)]
    opened = opening(written(experiment(tmp_path, layers=layers, draws=1)))
    page = opened.go()
    assert [text.split(".")[0] for text in labels_of_layers(page)] == ["…2", "…10", "…11"]
    # The table of all layers fits its column.
    assert page.locator("#overview").evaluate("box => box.scrollWidth <= box.clientWidth")
    facts = page.locator("#compared").inner_text()
    assert "Warning: in every layer part of the similarity" in facts


def test_long_names_that_differ_in_the_middle_can_be_told_apart(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    layers = [f"attention_output_{n}_projection_{end}" for n in "12" for end in ("in", "out")]
    shown = labels_of_layers(opening(written(experiment(tmp_path, layers=layers, draws=1))).go())
    assert len(set(shown)) == len(layers)
    assert max(map(len, shown)) <= 20


def test_tab_reaches_the_neurons_that_are_in_sight(opened: Opened) -> None:
    page = opened.go(layer="fc1", neuron="a0", pair=0)
    box = page.locator(".scroll")
    box.focus()
    box.evaluate("box => { box.scrollTop = box.scrollHeight }")
    # The row of the selected neuron is no longer there.
    expect(page.locator(".neuron-table tbody button").last).to_have_text("B 11")
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.neuron-table tbody') !== null"):
            break
    else:
        raise AssertionError("Tab does not reach a neuron")


@pytest.mark.parametrize(("wrong", "width"), [("7", 1280), ("1", 390), ("-0.1", 1280), ("", 390)])
def test_an_epsilon_that_is_not_accepted_is_answered_with_what_is(
    opening: Callable[..., Opened], file: Path, wrong: str, width: int
) -> None:
    page = opening(file, size=(width, 900)).go(epsilon=0.3)
    exact, message = page.locator("#exact"), page.locator("#epsilon-error")
    assert not message.is_visible()
    exact.fill(wrong)
    exact.press("Enter")
    expect(message).to_have_text("Expected a number from 0 to 0.999999; epsilon is still 0.3.")
    field, words = exact.bounding_box(), message.bounding_box()
    assert field is not None
    assert words is not None
    assert 0 < words["y"] - field["y"] - field["height"] < 30  # just below
    assert exact.input_value() == "0.3"
    slide(page, 0.41)
    expect(message).to_have_text("")


@pytest.mark.parametrize(
    ("address", "named", "shown"),
    [
        (
            "layer=no&neuron=a999&epsilon=7&pair=99&run=3",
            "run 3, pair 99, layer no, neuron a999 and epsilon 7",
            "run 0, pair all, layer conv1, neuron a1 and epsilon 0.3",
        ),
        ("epsilon=x&neuron=<b>", "neuron <b> and epsilon x", "neuron a1 and epsilon 0.3"),
        ("layer=fc1&epsilon=1", "epsilon 1", "epsilon 0.3"),
    ],
)
def test_a_wrong_address_gives_the_default_view_and_says_so(
    opened: Opened, address: str, named: str, shown: str
) -> None:
    page = opened.page
    page.goto(f"{opened.file.as_uri()}#{address}")
    page.wait_for_selector("html[data-ready]", state="attached")
    assert page.locator("#layer").input_value() == ("fc1" if "fc1" in address else "conv1")
    assert page.locator("#exact").input_value() == "0.3"
    words = (
        f"The address names {named}, which this page does not have, or not with the rest."
        f" It shows {shown}."
    )
    expect(page.locator("#not-here")).to_have_text(words)
    slide(page, 0.41)
    expect(page.locator("#not-here")).to_have_text("")


@pytest.mark.parametrize("address", ["%", "epsilon=0.30&pair=all", "run=0&neuron=a1", "other=1"])
def test_an_address_that_the_page_has_is_shown_without_a_word(opened: Opened, address: str) -> None:
    opened.page.goto(f"{opened.file.as_uri()}#{address}")
    opened.page.wait_for_selector("html[data-ready]", state="attached")
    assert opened.page.locator("#exact").input_value() == "0.3"
    expect(opened.page.locator("#not-here")).to_have_text("")


HOSTILE = ["<img src=x onerror=alert(1)>", "\"'></script><b>'{{", "層一/é &amp; $title"]


def test_names_are_never_parsed_as_html(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    data = "</script><img src=x onerror=alert(2)>"
    one = experiment(
        tmp_path,
        name="<b>é",
        layers=HOSTILE,
        images=False,
        change=lambda config: config["data"].update(name=data),
    )
    opened = opening(written(one))
    page = opened.go()
    assert page.locator("img").count() == 0
    assert page.locator("body b").count() == 0
    assert page.locator("#compared td").first.inner_text() == data
    assert page.locator("#layer option").all_inner_texts() == HOSTILE
    for layer in HOSTILE[::-1]:
        page.locator("#layer").select_option(layer)
        assert page.locator("#layer-heading").inner_text() == f"Layer {layer}"
        # The address follows a moment later.
        page.wait_for_function(
            "layer => new URLSearchParams(location.hash.slice(1)).get('layer') === layer", arg=layer
        )
    assert [row["layer"] for row in opened.table("#depth-numbers")] == HOSTILE
    shown = page.locator("#depth svg text").all_text_contents()
    assert any(text.startswith("<img src=x") for text in shown)


def test_missing_results_are_reported(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    absent = ["null", "minimal_matches", "minimal_match_members", "measures", "heat_map"]
    one = experiment(tmp_path, draws=1, without=[*absent, "top_images"])
    opened = opening(written(one))
    page = opened.go(layer="fc1", neuron="a1")
    text = page.locator("body").inner_text()
    for sentence in (
        "the chance level is unknown",
        "This run has no heat map of layer pairs: none was requested.",
        "This run has no other similarity measures.",
        "This run has no minimal matches in this layer",
        "Sizes of minimal matches: this run has none in this layer.",
        "The images that activate its neurons most are not available",
        "unknown: this run has no permutations",
    ):
        assert sentence in text
    opened.see_all()


def test_missing_tables_are_treated_like_empty_ones(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    one = experiment(tmp_path, draws=1)
    absent = ("null", "minimal_matches", "minimal_match_members", "measures", "heat_map")
    for name in (*absent, "left_out"):
        (one.folder / "tables" / f"{name}.parquet").unlink()
    page = opening(written(one)).go()
    assert "This run has no other similarity measures" in page.locator("#between").inner_text()


def test_models_and_left_out_layers_are_listed(
    opening: Callable[..., Opened], written: Callable[..., Path], tmp_path: Path
) -> None:
    models = {
        "small": {"network": {"width": 0.25}},
        "large": {"network": {"name": "resnet20", "width": 1.0}, "data": {"name": "mnist"}},
        "pretrained": {"network": {"name": "torchvision:vgg16", "weights": "IMAGENET1K_V1"}},
        "unused": {},
    }
    one = experiment(tmp_path, draws=1, change=lambda config: config.update(models=models))
    sides = {"model_a": "small", "model_b": "large"}
    for file in (one.folder / "tables").glob("*.parquet"):
        table = pd.read_parquet(file)
        table.assign(**{k: v for k, v in sides.items() if k in table.columns}).to_parquet(file)
    pair = {"comparison": "last", **sides, "seed_a": 0, "seed_b": 1, "stage_a": "last"}
    pairs = [pair | {"stage_b": "last", "left_out": ["conv3", "conv4"]}]
    left_out_table(pairs).to_parquet(one.folder / "tables" / "left_out.parquet")
    networks = pd.read_csv(one.folder / "tables" / "networks.csv", dtype=str)
    networks["model"] = list(sides.values())
    third = networks.iloc[:1].assign(model="pretrained", key="third")
    pd.concat([networks, third]).to_csv(one.folder / "tables" / "networks.csv", index=False)
    sign(read_record(one.folder / "config.json"), one.folder)

    text = opening(written(one)).go().locator("#compared").inner_text()
    for line in (
        "small: vgg11_bn, width 0.25\n",
        "large: resnet20, width 1, trained on mnist\n",
        "pretrained: torchvision:vgg16, weights IMAGENET1K_V1\n",
        "between small and large, layers without a counterpart: conv3 and conv4\n",
    ):
        assert line in text
    assert "unused" not in text


def test_a_single_model_is_not_named(opened: Opened) -> None:
    text = opened.go().locator("#compared").inner_text()
    assert "vgg11_bn, width 0.5\n" in text
    assert "nothing: every layer has a counterpart" in text


def test_the_configuration_of_the_page_is_that_of_the_run(saving: Opened, made: Made) -> None:
    page = saving.go()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save its configuration").click()
    assert download.value.suggested_filename == "config.json"
    assert read_record(download.value.path()) == read_record(made.folder / "config.json")


def test_a_table_saved_as_csv_is_the_copied_table(opened: Opened, saving: Opened) -> None:
    opened.go(epsilon=0.3)
    page = saving.go(epsilon=0.3)
    page.locator("#depth-numbers summary").click()
    with page.expect_download() as download:
        page.locator("#depth-numbers").get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
    with Path(download.value.path()).open(newline="", encoding="utf-8") as stream:
        assert list(csv.DictReader(stream)) == opened.table("#depth-numbers")


def test_neurons_layer_pairs_and_networks_can_be_copied(opened: Opened, made: Made) -> None:
    page = opened.go(layer="fc1", pair=1, epsilon=0.32)
    of_pair = "seed_a == 0 and seed_b == 2"
    neurons = made.tables["neurons"].query(f"layer == 'fc1' and {of_pair}")
    wanted = neurons.pivot(index=["network", "neuron"], columns="draw", values="critical_epsilon")
    first = neurons[neurons["draw"] == 0].set_index(["network", "neuron"])
    rows = opened.table("#neurons-numbers")
    assert len(rows) == len(wanted) == 24
    for row in rows:
        key = row["network"], int(row["neuron"])
        for draw in (0, 1):
            shown = float(row[f"critical_epsilon_draw_{draw}"] or "nan")
            np.testing.assert_equal(shown, wanted.loc[key, draw])
        p_value = float(row["p_value"] or "nan")
        assert p_value == pytest.approx(first.loc[key, "p_value"], rel=1e-3, nan_ok=True)
    pairs = made.tables["heat_map"].query(f"epsilon == 0.3 and {of_pair}")
    pairs = pairs.set_index(["layer_a", "layer_b"])
    rows = opened.table("#between details >> nth=0")
    assert len(rows) == len(pairs) == 9
    for row in rows:
        of_table = pairs.loc[(row["layer_a"], row["layer_b"])]
        assert row["epsilon"] == "0.3"
        for name in ("similarity", "linear_cka"):
            assert float(row[name]) == pytest.approx(of_table[name], abs=1e-6)
    areas = made.tables["network_matrix"].query("layer == 'fc1'").set_index(["seed_a", "seed_b"])
    rows = opened.table("#matrix-numbers")
    assert len(rows) == 6
    for row in rows:
        seeds = tuple(int(row[f"network_{side}"].removeprefix("seed ")) for side in "ab")
        assert float(row["area"]) == pytest.approx(areas.loc[seeds, "area"], abs=1e-6)
    # A message about other numbers does not stay.
    expect(page.locator("#neurons-numbers [role=status]")).to_have_text("Copied.")
    page.locator("#layer").select_option("conv1")
    expect(page.locator("#neurons-numbers [role=status]")).to_have_text("")


def test_runs_are_shown_side_by_side(
    opening: Callable[..., Opened], written: Callable[..., Path], made: Made, tmp_path: Path
) -> None:
    other = experiment(tmp_path, name="other", layers=["fc1", "conv9"], draws=1, without=["null"])
    opened = opening(written(made, other))
    page = opened.go()
    captions = page.locator("#depth figcaption").all_inner_texts()
    assert [caption.split("(")[-1] for caption in captions] == [
        name for name in ("experiment)", "other)") for _ in ("similarity", "area")
    ]
    assert page.locator("#compared thead th").all_inner_texts() == ["experiment", "other"]
    page.locator("#run").select_option("1")
    assert page.locator("#layer option").all_inner_texts() == ["fc1", "conv9"]
    rows = opened.table("#depth-numbers")
    assert [(row["run"], row["layer"]) for row in rows] == [
        *(("experiment", layer) for layer in LAYERS),
        ("other", "fc1"),
        ("other", "conv9"),
    ]
    page.wait_for_url("**&run=1")
    # Selecting a layer in the figure of another run selects that run too.
    page.get_by_role("slider", name="Layer of experiment").press("End")
    assert page.locator("#run").input_value() == "0"
    assert page.locator("#layer-heading").inner_text() == "Layer fc1"


@pytest.mark.parametrize(
    ("before", "error"),
    [
        ("delete window.DecompressionStream", "no DecompressionStream. Open it in Chrome"),
        # Cut off the data, as in a file that was not copied completely.
        ("const whole = atob; window.atob = (t) => whole(t).slice(0, 1000)", "the file is damaged"),
    ],
)
def test_data_that_cannot_be_read_give_an_error_in_place_of_the_loading_message(
    browser: Browser, file: Path, before: str, error: str
) -> None:
    page = browser.new_page()
    page.add_init_script(before)
    page.goto(file.as_uri())
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "The data of this page cannot be read: " in alert.inner_text()
    assert error in alert.inner_text()
    page.close()


def test_a_message_is_shown_while_the_page_is_loading(browser: Browser, file: Path) -> None:
    page = browser.new_page()
    page.add_init_script("Response.prototype.json = () => new Promise(() => {})")
    page.goto(file.as_uri())
    page.get_by_text("Loading the data of this page").wait_for()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_accessibility_audit_finds_nothing(
    opening: Callable[..., Opened], file: Path, scheme: str, width: int
) -> None:
    opened = opening(file, size=(width, 800), color_scheme=scheme)
    opened.go(layer="fc1", neuron="a1")
    audit(opened)


def test_print_uses_the_light_colours(opening: Callable[..., Opened], file: Path) -> None:
    page = opening(file, color_scheme="dark").go()
    page.emulate_media(media="print", color_scheme="dark")
    # On a busy machine the figure may not be drawn yet, or is about to be drawn again.
    label = page.locator("#depth svg .role-axis-label text").first
    expect(label).to_have_attribute("fill", "#1b1f24")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#controls").is_visible()
