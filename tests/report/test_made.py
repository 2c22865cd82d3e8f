"""The content of the page: reproducible bytes, size limits, errors, the command."""

from __future__ import annotations

import base64
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from report.folders import IMAGES_FILE, Made, experiment, page_data

from subspace_match.cli import main
from subspace_match.data import prepared
from subspace_match.experiment.user_files import content_digest
from subspace_match.report import Run, page, read_run
from subspace_match.report.atlas import atlas
from subspace_match.report.payload import images, payload
from subspace_match.report.runs import OPTIONAL, TOGETHER, Images
from subspace_match.storage.files import write_record
from subspace_match.storage.job_records import SUFFIX


@pytest.fixture
def run(made: Made) -> Run:
    return read_run(made.folder)


def test_the_same_tables_give_the_same_bytes(run: Run, made: Made) -> None:
    assert page([run]) == page([read_run(made.folder)])


def test_the_order_of_rows_does_not_matter(run: Run) -> None:
    shuffled = {
        name: table.sample(frac=1, random_state=0)
        for name, table in run.tables.items()
        if name not in ("networks", "similarity", "measures", "heat_map", "minimal_matches")
    }
    mixed = replace(run, tables=run.tables | shuffled)
    assert payload(mixed) == payload(run)
    assert images(mixed, 100_000) == images(run, 100_000)


def test_the_page_refers_to_no_other_file(run: Run) -> None:
    text = page([run])
    assert "src=" not in text.partition("<script")[0]
    assert "<link" in text
    assert text.count("<link") == text.count('<link rel="icon" href="data:,">')


def test_minimal_matches_are_those_of_the_table(run: Run) -> None:
    record = next(own for own in payload(run)["matches"] if own["layer"] == 2)
    (minimal,) = record["minimal"]
    table = run.tables["minimal_match_members"]
    own = table[(table["layer"] == "fc1") & (table["seed_b"] == 1) & (table["seed_a"] == 0)]
    members = [np.cumsum(differences).tolist() for differences in minimal["members"]]
    assert members == [
        [*row["neurons_a"], *(n + 12 for n in row["neurons_b"])]
        for _, row in own.sort_values("match").iterrows()
    ]
    assert members


def test_the_largest_matches_beyond_the_limit_keep_only_their_sizes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = payload(run)["matches"][2]["minimal"][0]
    monkeypatch.setattr("subspace_match.report.payload.MAX_MEMBERS", 10)
    cut = payload(run)["matches"][2]["minimal"][0]
    assert (cut["size_a"], cut["size_b"]) == (whole["size_a"], whole["size_b"])
    sizes = np.add(cut["size_a"], cut["size_b"])
    kept = np.array([own is not None for own in cut["members"]])
    assert sizes[kept].sum() <= 10
    assert sizes[kept].max() <= sizes[~kept].min()


def test_json_numbers_keep_every_bit_and_nan_is_none() -> None:
    from subspace_match.report.json_numbers import numbers

    values = np.random.default_rng(0).random(1000)
    assert numbers(values) == values.tolist()
    assert numbers([np.nan, np.inf, 1 / 3], 3) == [None, None, 0.333]


def noise(count: int, side: int) -> Images:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    return Images(np.zeros(count, np.int64), lambda places: pictures[list(places)])


def test_the_atlas_keeps_its_budget_and_the_best_ranked_images() -> None:
    strongest = pd.DataFrame({"image": np.arange(200), "rank": np.arange(200) % 9, "neuron": 0})
    whole = atlas(strongest, noise(200, 32), budget=1_000_000)
    assert len(whole["image"]) == whole["total"] == 200
    cut = atlas(strongest, noise(200, 32), budget=50_000)
    assert len(base64.b64decode(cut["url"].partition(",")[2])) <= 50_000
    assert 20 < len(cut["image"]) < 200
    assert cut["total"] == 200
    assert {image % 9 for image in cut["image"][:22]} == {0}


def test_images_of_files_that_are_gone_or_others_are_not_shown(tmp_path: Path) -> None:
    """A relative folder may be another one where the page is made."""
    root, files = tmp_path / "photos", ("a/1.png", "b/1.png")
    for name in files:
        (root / name).parent.mkdir(parents=True)
        PIL.Image.new("RGB", (32, 32)).save(root / name)
    section = {"name": "image_folder", "root": str(root)}
    one = experiment(tmp_path, images=False, change=lambda config: config["data"].update(section))
    split = prepared.FileSplit(files, np.arange(2), np.arange(2), root)
    about = {"name": "image_folder", "mean": [0.5] * 3, "std": [0.5] * 3, "resize": 32, "crop": 32}
    prepared.save(tmp_path / IMAGES_FILE, prepared.DataSet(split, split, about))
    content = content_digest(f"data image_folder {root}", tmp_path / "contents")
    write_record((tmp_path / IMAGES_FILE).with_name("data.json"), {"content": content})
    with warnings.catch_warnings(action="error"):
        images = read_run(one.folder).images
    assert images is not None
    assert images.pictures([0]).shape == (1, 3, 32, 32)
    (root / files[0]).rename(root / "a" / "2.png")
    for _ in ("other files", "no files"):
        with pytest.warns(
            UserWarning, match=r"data\.root: expected .*photos as they were .*others"
        ):
            assert read_run(one.folder).images is None
        shutil.rmtree(root, ignore_errors=True)


def test_large_images_are_downsampled() -> None:
    strongest = pd.DataFrame({"image": [0, 1], "rank": [0, 1], "neuron": 0})
    assert atlas(strongest, noise(2, 224), budget=1_000_000)["tile"] == 56


def test_the_configuration_is_split_into_changed_and_default(tmp_path: Path) -> None:
    one = experiment(tmp_path, seeds=(0, 1, 2), images=False)
    found = payload(read_run(one.folder))["provenance"]
    assert found["changed"] == {"seeds": [0, 1, 2]}
    assert found["default"]["network.name"] == "vgg11_bn"
    assert "training.epochs" in found["default"]


def test_the_page_shows_the_call_that_made_the_tables(tmp_path: Path) -> None:
    one = experiment(tmp_path, images=False)
    (call,) = payload(read_run(one.folder))["provenance"]["runs"]
    assert call["command"] == "snakemake --configfile mine.yaml"
    assert call["commit"] == "0123abc"
    (one.folder / "aggregate.provenance.json").unlink()
    found = payload(read_run(one.folder))["provenance"]
    assert found["runs"] == []
    assert found["changed"]["network.name"] == "vgg11_bn"


def test_a_folder_without_a_run_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(tmp_path), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "expected the folder of a finished run" in error
    assert "found no config.json, tables/networks.csv" in error
    assert "let snakemake finish the run" in error
    assert not out.exists()


def test_a_damaged_table_is_an_error_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = experiment(tmp_path, images=False)
    (one.folder / "tables" / "null.parquet").write_bytes(b"not a table")
    assert main(["report", str(one.folder), "--out", str(tmp_path / "page.html")]) == 2
    assert "null.parquet: expected what the rule aggregate made" in capsys.readouterr().err
    # Without a record, only reading the table reveals the damage.
    (one.folder / f"aggregate{SUFFIX}").unlink()
    assert main(["report", str(one.folder), "--out", str(tmp_path / "page.html")]) == 2
    assert "null.parquet: expected a whole file, found a damaged one" in capsys.readouterr().err


def test_tables_of_an_older_version_are_an_error(tmp_path: Path) -> None:
    one = experiment(tmp_path, images=False)
    (one.folder / f"aggregate{SUFFIX}").unlink()
    table = one.folder / "tables" / "neurons.parquet"
    pd.read_parquet(table).drop(columns="cross_fitted_critical_epsilon").to_parquet(table)
    with pytest.raises(ValueError, match="expected a column cross_fitted_critical_epsilon"):
        read_run(one.folder)


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_missing_table_is_left_out_or_is_an_error_that_names_it(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, out = experiment(tmp_path, images=False), tmp_path / "page.html"
    (one.folder / "tables" / f"{name}.parquet").unlink()
    made = main(["report", str(one.folder), "--out", str(out)]) == 0
    assert made == out.exists() == (name not in TOGETHER)
    if not made:
        error = capsys.readouterr().err
        assert f"found no {name}.parquet; remove minimal_match" in error
        assert "Traceback" not in error


def test_the_command_writes_one_page_for_all_runs(made: Made, tmp_path: Path) -> None:
    other = experiment(tmp_path, name="other", draws=1, images=False)
    out = tmp_path / "page.html"
    assert main(["report", str(made.folder), str(other.folder), "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert [run["name"] for run in page_data(text)] == ["experiment", "other"]
    assert [run["images"] is None for run in page_data(text, "images")] == [False, True]


def test_the_page_tells_of_which_network_nothing_was_learned(made: Made) -> None:
    run = read_run(made.folder)
    networks = run.tables["networks"].assign(most_chosen=[1.0, 0.2, np.nan])
    changed = replace(run, tables={**run.tables, "networks": networks})
    (own,) = page_data(page([changed]))
    assert [network["one_class"] for network in own["networks"]] == [True, False, False]
