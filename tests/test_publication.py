"""Results to a few files and back."""

import os
from pathlib import Path

import pytest
from jobs import leave

from subspace_match.artefacts import read_record
from subspace_match.provenance import INVOCATION, SUFFIX, Job, Records, invocation
from subspace_match.publication import lineage, publish, restore

CONFIG = {"results": "results"}
STORE = "activations/1/net.zarr"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a network, a recording of it and a table were made and published."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, CONFIG, CONFIG))
    network = "networks/net/seed_0/last.safetensors"
    leave("train", "networks/net/seed_0", ["last.safetensors", "history.csv"], CONFIG)
    leave("extract", "activations/1", ["net.zarr/"], CONFIG, [network])
    leave("aggregate", "experiments/x-2", ["tables/a.csv"], CONFIG, [STORE, network])
    table = Records().required("results/experiments/x-2/tables/a.csv")
    assert publish(table, "published")
    for job in lineage([table], "results"):
        assert publish(job, Path("published", "stores", job.record["folder"]))
    return tmp_path


def contents(folder: str) -> dict[str, bytes]:
    files = (file for file in Path(folder).rglob("*") if file.is_file())
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if file.name != ".snakemake_timestamp"
    }


def test_a_store_is_published_as_one_file_and_always_the_same() -> None:
    published = contents("published")
    assert set(published) == {
        "aggregate.provenance.json",
        "tables/a.csv",
        "stores/activations/1/extract.provenance.json",
        "stores/activations/1/net.zarr.zip",
        "stores/networks/net/seed_0/history.csv",
        "stores/networks/net/seed_0/last.safetensors",
        "stores/networks/net/seed_0/train.provenance.json",
    }
    os.utime("results/activations/1/net.zarr/part", (0, 0))
    extract = Records().required(f"results/{STORE}")
    publish(extract, "again")
    assert contents("again")["net.zarr.zip"] == published["stores/activations/1/net.zarr.zip"]


def test_what_is_restored_is_what_was_there_and_newer_than_its_code() -> None:
    before = contents("results")
    Path("results").rename("old")
    restored = restore("published", "results")
    assert contents("results") == before
    assert (len(restored.back), restored.left_out) == (3, {})
    outputs = (
        "networks/net/seed_0/last.safetensors",
        "networks/net/seed_0/history.csv",
        STORE,
        "experiments/x-2/tables/a.csv",
    )
    times = {Path("results", output).stat().st_mtime_ns for output in outputs}
    assert len(times) == 1
    assert times.pop() > max(code.stat().st_mtime_ns for code in Path().glob("*.py"))
    assert restore("published", "results").back == []


def test_what_is_there_stays() -> None:
    Path("results/experiments/x-2/tables/a.csv").write_text("newer")
    assert restore("published", "results").back == []
    assert Path("results/experiments/x-2/tables/a.csv").read_text() == "newer"


def test_what_is_missing_of_a_job_comes_back() -> None:
    before = contents("results")
    Path("results/networks/net/seed_0/last.safetensors").unlink()
    restored = restore("published", "results")
    assert restored.back == ["results/networks/net/seed_0/train"]
    others = ["experiments/x-2/aggregate", "activations/1/extract"]
    assert restored.there == [f"results/{name}" for name in others]
    assert restored.left_out == {}
    assert contents("results") == before


def test_what_is_missing_beside_other_results_is_left_out_with_a_reason() -> None:
    Path("results/networks/net/seed_0/last.safetensors").unlink()
    history = Path("results/networks/net/seed_0/history.csv")
    history.write_text("newer")
    restored = restore("published", "results")
    assert restored.back == []
    reason = f"there, but other than published: {history}; remove it"
    assert restored.left_out == {"results/networks/net/seed_0/train": reason}
    assert history.read_text() == "newer"
    history.unlink()
    assert restore("published", "results").back == ["results/networks/net/seed_0/train"]


def test_what_other_code_made_is_left_out_and_what_was_made_from_it() -> None:
    Path("results").rename("old")
    Path("module_of_extract.py").write_text("edited")
    restored = restore("published", "results")
    assert restored.back == ["results/networks/net/seed_0/train"]
    assert restored.left_out == dict.fromkeys(
        ["results/experiments/x-2/aggregate", "results/activations/1/extract"],
        "other code made it: module_of_extract.py",
    )
    assert not Path("results", STORE).exists()


def test_what_was_not_pulled_is_left_out() -> None:
    Path("results").rename("old")
    Path("published/stores/activations/1/net.zarr.zip").unlink()
    (reason,) = restore("published", "results").left_out.values()
    assert reason == "not there: published/stores/activations/1/net.zarr"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("networks/net/seed_0/history.csv", "expected what the rule train made"),
        ("activations/1/net.zarr.zip", "expected a whole file, found a damaged one"),
    ],
)
def test_a_damaged_file_is_not_restored(file: str, message: str) -> None:
    Path("results").rename("old")
    damaged = Path("published/stores", file)
    damaged.write_bytes(damaged.read_bytes()[:-5])
    with pytest.raises(ValueError, match=f"{file}: {message}"):
        restore("published", "results")


def test_what_is_no_longer_there_is_not_published() -> None:
    train = Records().required("results/networks/net/seed_0/history.csv")
    Path("results/networks/net/seed_0/last.safetensors").unlink()
    assert not publish(train, "again")
    assert not Path("again").exists()


def test_a_result_without_a_record_is_named() -> None:
    Path("results/activations/1/extract.provenance.json").unlink()
    table = Records().required("results/experiments/x-2/tables/a.csv")
    with pytest.raises(ValueError, match=r"net\.zarr: expected a result of the workflow, with"):
        list(lineage([table], "results"))


def test_the_record_goes_with_what_it_is_of() -> None:
    job = Records().required("published/stores/activations/1/net.zarr.zip")
    assert job == Job(job.file, read_record(f"results/activations/1/extract{SUFFIX}"))
