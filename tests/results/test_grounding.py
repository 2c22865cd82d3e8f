"""Grounding tests against their definitions, on small tables."""

import itertools
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from subspace_match.cli import main
from subspace_match.results.grounding import (
    average_precision,
    correlation,
    grounding_table,
    layer_violations,
    monotonicity,
    overview,
    separation,
    values_of_pairs,
    violation_rate,
)

SEEDS = range(3)


def pairs(models: list[str], seeds: range = SEEDS) -> pd.DataFrame:
    """All pairs of networks, a row each."""
    networks = [(model, seed) for model in models for seed in seeds]
    rows = [
        {"model_a": a[0], "seed_a": a[1], "stage_a": "last"}
        | {"model_b": b[0], "seed_b": b[1], "stage_b": "last"}
        for a, b in itertools.combinations(networks, 2)
    ]
    return pd.DataFrame(rows)


def values(models: list[str], seed: int = 0, seeds: range = SEEDS) -> pd.DataFrame:
    """Values of one measure, with equal ones among them."""
    table = pairs(models, seeds).assign(layer="fc1", depth=3, measure="area")
    random = np.random.default_rng(seed).integers(0, 8, len(table)) / 8
    return table.assign(value=random)


def only(table: pd.DataFrame, **keys: Any) -> pd.Series:
    """Return the one row with these values."""
    for key, value in keys.items():
        table = table[table[key] == value]
    ((_, row),) = table.iterrows()
    return row


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_and_violations_are_those_of_every_threshold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    within, across = (rng.integers(0, 6, rng.integers(1, 9)).astype(float) for _ in range(2))
    scores, right = np.concatenate([within, across]), np.repeat([1, 0], [len(within), len(across)])
    expected = average_precision_score(right, scores)
    assert average_precision(within, across) == pytest.approx(expected)
    total, recall = 0.0, 0.0
    for bound in sorted(set(scores), reverse=True):
        hits = sum(value >= bound for value in within)
        found = hits + sum(value >= bound for value in across)
        total += hits / found * (hits / len(within) - recall)
        recall = hits / len(within)
    assert average_precision(within, across) == pytest.approx(total)
    wrong = [one <= other for one in within for other in across]
    assert violation_rate(within, across) == pytest.approx(np.mean(wrong))


def test_separation_is_the_mean_over_models_and_its_range_that_without_a_seed() -> None:
    own = values(["x", "y", "z"])

    def expected(rows: pd.DataFrame) -> float:
        found = []
        for model in "xyz":
            within, across = [], []
            for row in rows.itertuples():
                if row.model_a == model == row.model_b:
                    within.append(row.value)
                elif model in (row.model_a, row.model_b):
                    across.append(row.value)
            right = np.repeat([1, 0], [len(within), len(across)])
            found.append(average_precision_score(right, within + across))
        return float(np.mean(found))

    row = only(separation(own), quality="auprc")
    assert row["value"] == pytest.approx(expected(own))
    without = [expected(own[(own.seed_a != seed) & (own.seed_b != seed)]) for seed in SEEDS]
    assert (row["low"], row["high"]) == pytest.approx((min(without), max(without)))
    # 3 pairs within a model, and 3 x 6 with others.
    assert row["chance"] == pytest.approx(3 / 21)
    assert row["count"] == len(own) == 36


def test_the_last_digits_do_not_depend_on_the_order_of_a_set() -> None:
    """Python orders a set of strings differently in each process."""
    code = f"""
import numpy as np
import pandas as pd
from subspace_match.results.grounding import separation
table = pd.DataFrame({pairs(list("abcdefg")).to_dict("list")}).assign(layer="l", depth=1)
values = np.random.default_rng(0).random(len(table))
print(separation(table.assign(measure="m", value=values)).to_dict("list"))
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(found) == 1


def test_perfect_and_absent_separation() -> None:
    own = values(["x", "y"])
    same = own["model_a"] == own["model_b"]
    perfect = separation(own.assign(value=same.astype(float)))
    assert only(perfect, quality="auprc")["value"] == 1
    assert only(perfect, quality="violation_rate")["value"] == 0
    constant = separation(own.assign(value=0.0))
    row = only(constant, quality="auprc")
    assert row["value"] == pytest.approx(row["chance"])
    assert only(constant, quality="violation_rate")["value"] == 1


def test_pairs_without_a_value_are_left_out_and_a_model_without_any_leaves_no_result() -> None:
    own = values(["x", "y"])
    one = own.assign(value=own["value"].where(own.index > 0))
    row = only(separation(one), quality="auprc")
    assert row["count"] == len(own) - 1
    assert row["value"] == only(separation(one[1:]), quality="auprc")["value"]
    within = (own["model_a"] == "x") & (own["model_b"] == "x")
    none = separation(own.assign(value=own["value"].where(~within)))
    assert none["value"].isna().all()


def test_stages_of_a_model_are_groups_of_their_own() -> None:
    own = values(["x", "y"])
    for side in "ab":
        own[f"stage_{side}"] = own[f"model_{side}"].map({"x": "initial", "y": "last"})
        own[f"model_{side}"] = "base"
    named = separation(values(["x", "y"]))
    pd.testing.assert_frame_equal(separation(own), named)


def test_correlation_is_of_dissimilarity_with_differences_of_outputs() -> None:
    own = values(["x"], seeds=range(5))
    rng = np.random.default_rng(1)
    outputs = pairs(["x"], range(5)).sample(frac=1, random_state=0)
    outputs["accuracy_difference"] = rng.random(len(outputs))
    outputs["disagreement"] = rng.random(len(outputs))
    found = correlation(own, outputs)
    keys = ["seed_a", "seed_b"]
    joined = own.merge(outputs, on=keys, suffixes=("", "_other"))
    for test, column in (("accuracy", "accuracy_difference"), ("disagreement", "disagreement")):
        row = only(found, test=test)

        def rho(rows: pd.DataFrame, column: str = column) -> float:
            ranks = stats.rankdata(-rows["value"]), stats.rankdata(rows[column])
            return float(np.corrcoef(*ranks)[0, 1])

        assert row["value"] == pytest.approx(rho(joined))
        without = [
            rho(joined[(joined.seed_a != seed) & (joined.seed_b != seed)]) for seed in range(5)
        ]
        assert (row["low"], row["high"]) == pytest.approx((min(without), max(without)))
        assert (row["chance"], row["count"]) == (0, 10)
    assert correlation(own.assign(value=0.5), outputs)["value"].isna().all()


@pytest.mark.parametrize("layers", [3, 5])
def test_layer_violations_count_every_inequality_of_three_layers(layers: int) -> None:
    rng = np.random.default_rng(layers)
    similarity = {pair: rng.integers(0, 4) / 4 for pair in itertools.combinations(range(layers), 2)}
    # Comparing a layer with two that lie on the same side of it, at different distances.
    violations, total = 0.0, 0
    for source, near, far in itertools.permutations(range(layers), 3):
        if source < near < far or source > near > far:
            one, two = (similarity[tuple(sorted((source, other)))] for other in (near, far))
            violations += (one < two) + 0.5 * (one == two)
            total += 1
    assert layer_violations(similarity) == pytest.approx(violations / total)
    assert math.isnan(layer_violations({(0, 1): 0.5}))
    assert math.isnan(layer_violations(similarity | {(0, 2): math.nan}))


def within_table(rates: dict[int, list[float]]) -> pd.DataFrame:
    """Three layers of each network, by seed: similarities of 1 and 2, 2 and 3, 1 and 3."""
    rows = [
        {"model": "x", "seed": seed, "stage": "last", "depth_a": a, "depth_b": b}
        | {"layer_a": f"l{a}", "layer_b": f"l{b}", "measure": measure, "value": value}
        for seed, own in rates.items()
        for (a, b), value in zip([(1, 2), (2, 3), (1, 3)], own, strict=True)
        for measure in ("area", "linear_regression_a", "linear_regression_b")
    ]
    return pd.DataFrame(rows)


def test_monotonicity_is_the_mean_over_networks() -> None:
    table = within_table({0: [0.9, 0.8, 0.1], 1: [0.9, 0.3, 0.5], 2: [0.2, 0.3, 0.5]})
    a, b = table["measure"] == "linear_regression_a", table["measure"] == "linear_regression_b"
    table.loc[a, "value"], table.loc[b, "value"] = 0.1, 0.3  # means that are all equal
    found = monotonicity(table)
    assert list(found["measure"]) == ["area", "linear_regression"]
    area = only(found, measure="area")
    assert area["value"] == pytest.approx((0 + 0.5 + 1) / 3)
    assert (area["low"], area["high"]) == pytest.approx((0.25, 0.75))
    assert (area["count"], area["chance"]) == (3, 0.5)
    assert only(found, measure="linear_regression")["value"] == 0.5


def similarity_and_measures(
    models: list[str], seeds: range = SEEDS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of two epsilons in two draws, and of three measures."""
    own = pairs(models, seeds)
    layer = {"comparison": "c", "layer": "fc1", "depth": 3}
    draws = []
    for draw, epsilon in itertools.product((0, 1), (0.2, 0.5)):
        numbers = {"draw": draw, "epsilon": epsilon, "similarity": epsilon + draw / 10}
        areas = {"area": 0.5 + draw / 10, "cross_fitted_area": 0.4 + own.index / 100}
        draws.append(own.assign(**layer, **numbers, **areas))
    names = {"linear_cka": 0.9, "linear_regression_a": 0.2, "linear_regression_b": 0.4}
    measures = [own.assign(**layer, measure=name, value=value) for name, value in names.items()]
    return pd.concat(draws), pd.concat(measures)


def test_values_are_means_over_draws_and_directions() -> None:
    found = values_of_pairs(*similarity_and_measures(["x", "y"]))
    by_measure = found.groupby("measure", sort=False)["value"]
    assert by_measure.count().to_dict() == dict.fromkeys(by_measure.groups, 15)
    expected = {"area": 0.55, "similarity_0.2": 0.25, "similarity_0.5": 0.55}
    expected |= {"linear_cka": 0.9, "linear_regression": 0.3}
    means = by_measure.mean()
    assert means[list(expected)].to_dict() == pytest.approx(expected)
    assert list(found["measure"].unique()) == [
        *("area", "cross_fitted_area", "similarity_0.2", "similarity_0.5"),
        *("linear_cka", "linear_regression"),
    ]


def test_models_of_different_depth_are_tested_on_the_layers_that_they_share() -> None:
    """In y another layer comes before fc1; each model also has a layer 3 of its own."""
    similarity, measures = similarity_and_measures(["x", "y"])
    expected = separation(values_of_pairs(similarity, measures))

    def of_models(table: pd.DataFrame) -> pd.DataFrame:
        shared = table.assign(depth=np.where(table["model_a"] == "y", 3, 2))
        own = table[table["model_a"] == table["model_b"]]
        return pd.concat([shared, own.assign(layer=own["model_a"] + " alone", depth=3)])

    found = separation(values_of_pairs(of_models(similarity), of_models(measures)))
    assert set(found["layer"]) == {"fc1", "x alone", "y alone"}
    shared = found[found["layer"] == "fc1"]
    assert shared["value"].notna().all()
    pd.testing.assert_frame_equal(shared.reset_index(drop=True), expected)
    assert len(overview(found.assign(run="r", models="x, y"))) == found["measure"].nunique()


def write_run(folder: Path, models: list[str], within: pd.DataFrame) -> Path:
    """Write the tables of a run; 15 pairs of networks."""
    (folder / "tables").mkdir(parents=True)
    seeds = range(6 // len(models))
    similarity, measures = similarity_and_measures(models, seeds)
    outputs = pairs(models, seeds).assign(comparison="c", accuracy_difference=0.0, disagreement=0.5)
    outputs["accuracy_difference"] = outputs.index / 10
    tables = {"similarity": similarity, "measures": measures, "outputs": outputs}
    for name, table in (tables | {"within_networks": within}).items():
        table.to_parquet(folder / "tables" / f"{name}.parquet")
    return folder


def test_a_run_is_tested_for_what_it_allows(tmp_path: Path) -> None:
    none = within_table({}).reindex(columns=within_table({0: [1, 1, 1]}).columns)
    several = write_run(tmp_path / "several", ["x", "y"], none)
    one = write_run(tmp_path / "one", ["x"], within_table({0: [0.9, 0.8, 0.1], 1: [1, 1, 0]}))
    table = grounding_table([several, one])
    tests = table.groupby("run", sort=False)["test"].unique()
    assert tests["several"].tolist() == ["separation"]
    assert tests["one"].tolist() == ["accuracy", "disagreement", "monotonicity"]
    assert set(table[table["run"] == "several"]["models"]) == {"x, y"}
    wide = overview(table)
    assert list(wide) == ["separation: x, y", "accuracy: x", "disagreement: x", "monotonicity: x"]
    assert wide.loc["cross_fitted_area", "accuracy: x"] == "-1.00 (-1.00 to -1.00)"
    assert wide.loc["area", "monotonicity: x"] == "1.00 (1.00 to 1.00)"  # conformity
    assert wide.loc["linear_cka", "accuracy: x"] == wide.loc["linear_cka", "monotonicity: x"] == "-"


def test_the_command_writes_the_table_and_prints_an_overview(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "one", ["x"], within_table({0: [0.9, 0.8, 0.1]}))
    assert main(["grounding", str(run), "--out", str(tmp_path / "g.csv")]) == 0
    written = pd.read_csv(tmp_path / "g.csv", keep_default_na=False, na_values={"value": ""})
    expected = grounding_table([run])
    assert written["measure"].tolist() == expected["measure"].tolist()
    np.testing.assert_allclose(written["value"], expected["value"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| measure | accuracy: x | disagreement: x | monotonicity: x |"
    assert "| cross_fitted_area | -1.00 (-1.00 to -1.00) | - | - |" in lines
    assert "| area | - | - | 1.00 |" in lines  # a single network, so no range
    assert main(["grounding", str(tmp_path)]) == 2
    assert "expected the folder of a finished experiment" in capsys.readouterr().err


def test_runs_of_equal_models_have_columns_of_their_own(tmp_path: Path) -> None:
    within = within_table({0: [0.9, 0.8, 0.1]})
    one, other = (write_run(tmp_path / name, ["x"], within) for name in ("one", "other"))
    assert "monotonicity: x (one)" in overview(grounding_table([one, other]))
    assert "monotonicity: x (other)" in overview(grounding_table([one, other]))


def test_few_pairs_allow_no_correlation(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one", ["x"], within_table({0: [0.9, 0.8, 0.1]}))
    file = folder / "tables" / "outputs.parquet"
    pd.read_parquet(file)[1:].to_parquet(file)
    assert set(grounding_table([folder])["test"]) == {"monotonicity"}


def test_a_folder_without_tables_or_tests_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the folder of a finished experiment"):
        grounding_table([tmp_path])
    none = within_table({}).reindex(columns=within_table({0: [1, 1, 1]}).columns)
    folder = write_run(tmp_path / "one", ["x"], none)
    table = pd.read_parquet(folder / "tables" / "outputs.parquet")
    table["accuracy_difference"] = table["disagreement"] = math.nan
    table.to_parquet(folder / "tables" / "outputs.parquet")
    with pytest.raises(ValueError, match="expected several models with at least two seeds each"):
        grounding_table([folder])
