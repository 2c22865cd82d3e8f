"""The result of a comparison: tables, figures, page and folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from models import cnn, images

import subspace_match as sm
from subspace_match.cli import main
from subspace_match.comparison import saving
from subspace_match.comparison.result import FIRST_COLUMNS
from subspace_match.matching.epsilons import EPSILONS
from subspace_match.report import read_run
from subspace_match.results.registry import TABLES
from subspace_match.results.tables import LAYER_COLUMNS, PAIR_COLUMNS
from subspace_match.storage.match_files import load_matches, load_moments, load_nulls


@pytest.fixture(scope="module")
def result() -> sm.Comparison:
    batches = images(300).split(100)
    return sm.compare(cnn(0), cnn(1), batches, permutations=19, device="cpu", heat_map=300)


def test_it_is_a_mapping_of_layers_that_shows_itself_in_a_line(result: sm.Comparison) -> None:
    assert repr(result) == "<Comparison of Sequential (A) and Sequential (B): 3 layers, 300 inputs>"
    assert list(result) == ["conv1", "conv2", "fc1"]
    assert len(result) == 3
    assert result["conv1"].path.pair is result["conv1"].pair
    assert repr(result["fc1"]).startswith("<LayerComparison fc1: <MatchPath of 12 + 12 neurons")
    assert result == result
    first, heads, *rows, labels, last = str(result).splitlines()
    assert first == repr(result)
    without = {"epsilon", "class_null_threshold", "class_p_value"}
    assert heads.split() == [name for name in FIRST_COLUMNS if name not in without]
    assert labels == "Labels: none in the data"
    assert [row.split()[0] for row in rows] == list(result)
    assert last == "At epsilon 0.3; all columns: similarity(0.3)"
    with pytest.raises(KeyError, match="expected one of conv1, conv2, fc1, found 'fc2'"):
        result["fc2"]


def test_similarity_has_a_row_for_each_layer(result: sm.Comparison) -> None:
    table = result.similarity(0.5)
    assert tuple(table.columns[: len(FIRST_COLUMNS)]) == FIRST_COLUMNS
    of_frame = set(result.to_frame("similarity", 0.5)) - {*PAIR_COLUMNS, "draw"}
    assert set(table) == of_frame | {"median_critical_epsilon", "linear_cka"}
    assert list(table["layer"]) == ["conv1", "conv2", "fc1"]
    for row in table.to_dict("records"):
        layer = result[row["layer"]]
        assert row["similarity"] == layer.path.similarity(0.5)
        assert row["linear_cka"] == sm.linear_cka(layer.pair)
        chance = (layer.null <= 0.5).mean(1)
        assert row["p_value"] == (1 + (chance >= row["similarity"]).sum()) / 20
        assert row["null_threshold"] == chance.max()
        critical = np.nan_to_num(layer.path.critical_epsilon, nan=np.inf)
        assert row["median_critical_epsilon"] == np.median(critical)
        assert (row["images"], row["note"]) == (300, "")
        assert row["cross_fitted"] == layer.cross_fitted.similarity(0.5)
        assert row["held_out"] == layer.held_out.similarity(0.5)
        assert row["gap"] == row["similarity"] - row["cross_fitted"]
        assert row["cross_fitted_area"] == pytest.approx(layer.cross_fitted.area)
        assert row["held_out_area"] == pytest.approx(layer.held_out.area)
        assert row["few_samples"] == (row["area"] - row["cross_fitted_area"] > 0.03)
    assert len(result.similarity([0.2, 0.5])) == 6
    with pytest.raises(ValueError, match="expected a number in"):
        result.similarity(1.5)


def test_tables_have_the_columns_of_the_pipeline(result: sm.Comparison) -> None:
    similarity = result.to_frame()
    assert tuple(similarity.columns[: len(LAYER_COLUMNS)]) == LAYER_COLUMNS
    assert sorted(similarity["epsilon"].unique()) == list(EPSILONS)
    assert similarity["verified"].all()
    assert set(result.to_frame("measures")["measure"]) >= {"linear_cka", "svcca"}
    assert len(result.to_frame("heat_map", 0.3)) == 9
    assert len(result.to_frame("neurons")) == 2 * (6 + 10 + 12)
    with pytest.raises(ValueError, match=r"table: expected one of networks, similarity, .* found"):
        result.to_frame("nonsense")
    similarity["similarity"] = 7  # in a copy
    assert (result.to_frame()["similarity"] <= 1).all()


def test_epsilons_are_checked(result: sm.Comparison) -> None:
    for ask in (
        lambda: result.similarity([]),
        lambda: result.to_frame("summary", np.array([])),
        lambda: result.plot(epsilon=[]),
    ):
        with pytest.raises(ValueError, match=r"epsilon: expected at least one number in \[0, 1"):
            ask()
    with pytest.raises(ValueError, match=r"epsilon: expected one number in \[0, 1\), found an arr"):
        result.heat_map(epsilon=[0.2, 0.3])


def test_it_draws_on_given_axes_and_on_its_own(result: sm.Comparison) -> None:
    axes = Figure().subplots(1, 2)
    assert result.plot(axes[0], epsilon=[0.3, 0.5]) is axes[0]
    curves = {line.get_label(): line.get_ydata() for line in axes[0].lines}
    for epsilon in (0.3, 0.5):
        expected = [layer.path.similarity(epsilon) for layer in result.values()]
        np.testing.assert_array_equal(curves[f"{epsilon:g}"], expected)
    assert result.heat_map(axes[1], epsilon=0.5) is axes[1]
    (image,) = axes[1].images
    table = result.to_frame("heat_map", 0.5).pivot(
        index="depth_a", columns="depth_b", values="similarity"
    )
    np.testing.assert_array_equal(np.asarray(image.get_array()), table.to_numpy())
    assert axes[1].get_title() == r"Match, $\epsilon$ = 0.5"
    import matplotlib as mpl

    with mpl.rc_context({"backend": "agg"}):
        assert result.plot().lines
        assert len(result.heat_map().get_figure().axes) == 2  # with a colour bar


def test_without_a_heat_map_the_message_says_how_to_get_one() -> None:
    found = sm.compare(cnn(0), cnn(1), [images(100)], device="cpu", heat_map=0)
    with pytest.raises(ValueError, match="because compare was called with heat_map=0; call it"):
        found.heat_map()
    assert set(found.figures()) == {
        *("similarity_by_depth", "similarity_by_epsilon", "critical_epsilons", "measures"),
        "cross_fitted",
    }


def test_a_saved_comparison_holds_everything_and_makes_a_page(
    result: sm.Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "saved"
    result.save(folder)
    made = {name for name in TABLES if (folder / "tables" / f"{name}.{TABLES[name][0]}").exists()}
    assert {"networks", "similarity", "heat_map", "null", "left_out"} <= made
    stored = pd.read_parquet(folder / "tables" / "similarity.parquet")
    pd.testing.assert_frame_equal(stored, result.to_frame())
    for origin, match in load_matches(folder / "matches.npz").items():
        assert match.path(folder / "moments.npz") == result[origin.layer].path
        expected = result[origin.layer].cross_fitted.critical_epsilon
        np.testing.assert_array_equal(match.new_images.cross_fitted, expected)
        assert load_moments(folder / "moments.npz", origin.layer)[1] == result[origin.layer].pair
        null = load_nulls(folder / "nulls.npz")[origin]
        np.testing.assert_array_equal(null.any_image, result[origin.layer].null)
    assert (folder / "figures" / "heat_map.svg").exists()
    assert read_run(folder).name == "saved"

    page = tmp_path / "page.html"
    assert main(["report", str(folder), "--out", str(page)]) == 0
    assert page.read_text().startswith("<!doctype html>")

    # Another comparison in its place leaves nothing of it, and the user's own files.
    (folder / "figures" / "mine.svg").touch()
    before = files_in(folder)

    def touch(_: object, *paths: Path) -> None:  # to be fast
        for path in paths:
            path.touch()

    monkeypatch.setattr(saving, "save_figure", touch)
    sm.compare(cnn(0), cnn(1), [images(300)], device="cpu", heat_map=0).save(folder)
    gone = {"nulls.npz", "figures/heat_map.svg", "figures/heat_map.png"}
    assert gone < before
    assert files_in(folder) == before - gone


# The packages of all other extras cannot be imported.
TORCH_AND_PLOTS = """
import sys
for name in ("dvc", "grimp", "jsonschema", "mlxtend", "sklearn", "snakemake", "timm", "tqdm",
             "transformers", "vl_convert", "yaml", "zarr"):
    sys.modules[name] = None
import torch
import subspace_match as sm
model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
options = {"permutations": 19, "heat_map": 50, "device": "cpu"}
result = sm.compare(model, model, [torch.rand(60, 4)], **options)
result.plot()
result.save(sys.argv[1])
print(len(result.to_frame("neurons", 0.3)))
"""


def test_the_extras_torch_and_plots_are_enough(tmp_path: Path) -> None:
    code = (sys.executable, "-W", "ignore", "-c", TORCH_AND_PLOTS, tmp_path / "saved")
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 12
    assert (tmp_path / "saved/tables/summary.csv").is_file()


def files_in(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_where_nothing_can_be_written_nothing_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in place of a page stays, with all that is in it."""
    (tmp_path / "file").touch()
    found = sm.compare(cnn(0), cnn(1), [images(300)], device="cpu", heat_map=0)
    monkeypatch.setattr(sm.Comparison, "_tables_at", lambda *_: pytest.fail("tables were built"))
    with pytest.raises(ValueError, match="folder: expected a folder to write to, found a file: "):
        found.save(tmp_path / "file")
    with pytest.raises(ValueError, match=r"path: expected the name of a file .*, found a folder"):
        found.report(tmp_path)
    assert (tmp_path / "file").exists()


def test_the_page_names_models_without_seeds_and_the_call(result: sm.Comparison) -> None:
    from subspace_match.comparison.saving import config_of
    from subspace_match.comparison.tables import names_of
    from subspace_match.report import Run
    from subspace_match.report.payload import payload

    names = names_of(result.models)
    tables = result._tables_at(EPSILONS)
    made = payload(Run("run", config_of(names, result.settings, "none"), tables))
    assert [network["name"] for network in made["networks"]] == ["A: Sequential", "B: Sequential"]
    assert made["permutations"] == 19
    assert made["models"][0]["architecture"] == "Sequential"
    call = "subspace_match.compare(Sequential, Sequential, loader, nodes='auto', positions=10000,"
    assert made["provenance"]["again"].startswith(call)
    assert made["provenance"]["again"].endswith("tokens='all', layers=None, neuron_axis=None)")


def test_one_model_has_pairs_of_layers() -> None:
    found = sm.compare(cnn(0), None, [images(100)], device="cpu")
    assert repr(found) == "<Comparison of Sequential with itself: 3 pairs, 100 inputs>"
    assert list(found.similarity(0.3)["node"]) == ["1 ~ 4", "1 ~ 8", "4 ~ 8"]
    assert len(found.to_frame("heat_map", 0.3)) == 9


def test_models_on_a_gpu_stay_there(device: str) -> None:
    models = [cnn(seed).to(device) for seed in (0, 1)]
    found = sm.compare(*models, [images(300)], device=device, permutations=19)
    expected = sm.compare(cnn(0), cnn(1), [images(300)], device="cpu", permutations=19)
    for name, layer in expected.items():
        np.testing.assert_allclose(
            found[name].path.critical_epsilon, layer.path.critical_epsilon, atol=1e-3
        )
    assert next(models[0].parameters()).device == torch.device(device)
