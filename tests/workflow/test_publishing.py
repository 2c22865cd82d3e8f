"""Publishing results as a few files, and restoring them."""

import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from jobs import make_result
from pipeline import forks

from subspace_match.storage.files import read_signed, write_signed
from subspace_match.storage.job_records import SUFFIX, Job, Records
from subspace_match.workflow.invocation import INVOCATION, invocation
from subspace_match.workflow.publishing import lineage, publish, restore

CONFIG = {"results": "results"}
STORE = "activations/1/net.zarr"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Published results: a network, its activations and a table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, CONFIG, CONFIG))
    network = "networks/net/seed_0/last.safetensors"
    make_result("train", "networks/net/seed_0", ["last.safetensors", "history.csv"], CONFIG)
    make_result("extract", "activations/1", ["net.zarr/"], CONFIG, [network])
    make_result("aggregate", "experiments/x-2", ["tables/a.csv"], CONFIG, [STORE, network])
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
        if file.name != ".snakemake_timestamp" and file.suffix != ".lock"
    }


def test_a_store_is_published_as_one_reproducible_file() -> None:
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


def test_restored_results_equal_the_published_ones() -> None:
    before = contents("results")
    Path("results").rename("old")
    outcome = restore("published", "results")
    assert contents("results") == before
    assert (len(outcome.restored), outcome.skipped) == (3, {})
    assert restore("published", "results").restored == []


def test_existing_results_stay() -> None:
    Path("results/experiments/x-2/tables/a.csv").write_text("newer")
    assert restore("published", "results").restored == []
    assert Path("results/experiments/x-2/tables/a.csv").read_text() == "newer"


def test_a_jobs_missing_output_is_restored() -> None:
    before = contents("results")
    Path("results/networks/net/seed_0/last.safetensors").unlink()
    outcome = restore("published", "results")
    assert outcome.restored == ["results/networks/net/seed_0/train"]
    others = ["experiments/x-2/aggregate", "activations/1/extract"]
    assert outcome.present == [f"results/{name}" for name in others]
    assert outcome.skipped == {}
    assert contents("results") == before


def test_a_missing_output_beside_changed_ones_is_skipped_with_a_reason() -> None:
    Path("results/networks/net/seed_0/last.safetensors").unlink()
    history = Path("results/networks/net/seed_0/history.csv")
    history.write_text("newer")
    outcome = restore("published", "results")
    assert outcome.restored == []
    reason = f"differs from what is published: {history}; remove it"
    assert outcome.skipped == {"results/networks/net/seed_0/train": reason}
    assert history.read_text() == "newer"
    history.unlink()
    assert restore("published", "results").restored == ["results/networks/net/seed_0/train"]


def test_results_of_other_code_and_those_made_from_them_are_skipped() -> None:
    Path("results").rename("old")
    Path("module_of_extract.py").write_text("edited")
    outcome = restore("published", "results")
    assert outcome.restored == ["results/networks/net/seed_0/train"]
    assert outcome.skipped == dict.fromkeys(
        ["results/experiments/x-2/aggregate", "results/activations/1/extract"],
        "made by other code: module_of_extract.py",
    )
    assert not Path("results", STORE).exists()


def test_a_result_that_was_not_pulled_is_skipped() -> None:
    Path("results").rename("old")
    Path("published/stores/activations/1/net.zarr.zip").unlink()
    (reason,) = restore("published", "results").skipped.values()
    assert reason == "not published: published/stores/activations/1/net.zarr"


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("networks/net/seed_0/history.csv", "expected what the rule train made"),
        ("activations/1/net.zarr.zip", "expected what the rule extract made"),
    ],
)
def test_a_damaged_file_is_not_restored(file: str, message: str) -> None:
    Path("results").rename("old")
    damaged = Path("published/stores", file)
    damaged.write_bytes(damaged.read_bytes()[:-5])
    with pytest.raises(ValueError, match=f"{file}: {message}"):
        restore("published", "results")


def test_a_changed_part_of_a_packed_store_is_not_restored() -> None:
    Path("results").rename("old")
    packed = Path("published/stores/activations/1/net.zarr.zip")
    content = packed.read_bytes()
    packed.write_bytes(content.replace(b"deep/part of", b"deep/part if"))
    with pytest.raises(
        ValueError, match=r"net\.zarr\.zip: expected what the rule extract made, .*"
    ):
        restore("published", "results")
    assert not Path("results", STORE).exists()


def dvc_repository(remote: Path | None = None) -> None:
    """Write the file that DVC's commands write: each command takes a second."""
    Path(".dvc").mkdir()
    core = {"no_scm": "True"} | ({"remote": "storage"} if remote else {})
    config = ["[core]", *(f"    {key} = {value}" for key, value in core.items())]
    config += ["['remote \"storage\"']", f"    url = {remote}"] if remote else []
    Path(".dvc/config").write_text("\n".join([*config, ""]))


@pytest.mark.parametrize("file", ["networks/net/seed_0/history.csv", "activations/1/net.zarr.zip"])
def test_the_damaged_copy_in_dvcs_cache_is_named(file: str) -> None:
    """After a pull from a remote that has the file damaged."""
    Path("results").rename("old")
    published = Path("published/stores", file)
    dvc_repository()
    cached = Path(".dvc/cache/files/md5/01/23456789")
    cached.parent.mkdir(parents=True)
    published.write_bytes(published.read_bytes()[:-5])
    cached.write_bytes(published.read_bytes())
    cached.with_name("other").write_bytes(b"?" * len(published.read_bytes()))
    with pytest.raises(ValueError, match=r"DVC would take it from its cache again") as error:
        restore("published", "results")
    assert f"remove {cached.absolute()} too" in str(error.value)
    assert "other" not in str(error.value).partition("cache again")[2].partition(" too")[0]
    assert "\n" not in str(error.value)
    cached.unlink()
    with pytest.raises(ValueError, match=f"{file}: expected what") as error:
        restore("published", "results")
    assert "cache" not in str(error.value)


def dvc(*arguments: str) -> None:
    called = forks.run("dvc", *arguments, "--quiet")
    assert called.returncode == 0, called.stdout + called.stderr


def test_the_error_after_pulling_damage_says_how_to_repair_it(tmp_path: Path) -> None:
    """DVC itself does not check what it pulls."""
    Path("results").rename("old")
    dvc_repository(tmp_path / "storage")
    dvc("add", "published")
    dvc("push")
    history = Path("published/stores/networks/net/seed_0/history.csv").read_bytes()
    (stored,) = (
        file
        for file in Path("storage").rglob("*")
        if file.is_file() and file.read_bytes() == history
    )
    stored.chmod(0o644)
    stored.write_bytes(history[:-1] + b"?")
    for folder in ("published", ".dvc/cache"):
        shutil.rmtree(folder)
    dvc("pull")
    with pytest.raises(
        ValueError, match=r"history\.csv: expected what .* again, so remove"
    ) as error:
        restore("published", "results")
    # Follow the message: remove the file and its cached copy, replace the remote's copy.
    file, cached = re.findall(r"^(\S+): expected|so remove (\S+) too", str(error.value))
    Path(file[0]).unlink()
    Path(cached[1]).unlink()
    stored.write_bytes(history)
    dvc("pull", "--force")
    restore("published", "results")
    assert Path("results/networks/net/seed_0/history.csv").read_bytes() == history


def test_a_damaged_result_is_not_published() -> None:
    job = Records().required(f"results/{STORE}")
    Path("results", STORE, "deep/part").write_text("changed")
    with pytest.raises(ValueError, match=r"net\.zarr: expected what the rule extract made"):
        publish(job, "again")
    assert not Path("again").exists()


def test_a_job_without_all_its_outputs_is_not_published() -> None:
    train = Records().required("results/networks/net/seed_0/history.csv")
    Path("results/networks/net/seed_0/last.safetensors").unlink()
    assert not publish(train, "again")
    assert not Path("again").exists()


def test_a_result_without_a_record_is_named() -> None:
    Path("results/activations/1/extract.provenance.json").unlink()
    table = Records().required("results/experiments/x-2/tables/a.csv")
    with pytest.raises(ValueError, match=r"net\.zarr: expected a result of the workflow, with"):
        list(lineage([table], "results"))


def test_the_record_is_published_with_its_outputs() -> None:
    job = Records().required("published/stores/activations/1/net.zarr.zip")
    assert job == Job(job.file, read_signed(f"results/activations/1/extract{SUFFIX}"))


HOSTILE = ["../../outside", "/tmp/outside", "a/../../../outside", "..", "x\0y", 3, None]


def change(record: Path, key: str, value: Any) -> None:
    write_signed(record, read_signed(record) | {key: value})


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (key, name)
        for key in ("folder", "outputs", "inputs")
        for name in HOSTILE
        if key == "folder" or isinstance(name, str)  # as keys of JSON are
    ],
)
def test_a_record_with_names_outside_the_results_is_rejected(
    project: Path, key: str, name: Any
) -> None:
    """By every reader: restoring, publishing and provenance."""
    value = name if key == "folder" else {name: "0" * 64}
    Path("results").rename("old")
    record = Path("published/stores/networks/net/seed_0/train.provenance.json")
    change(record, key, value)
    with pytest.raises(ValueError, match=r"train\.provenance\.json: expected names of files in"):
        restore("published", "results")
    with pytest.raises(ValueError, match="do not use this record"):
        Records().find(record.with_name("last.safetensors"))
    with pytest.raises(ValueError, match="do not use this record"):
        Job(record, read_signed(record))
    assert not Path("results").exists()
    assert not (project.parent / "outside").exists()


@pytest.mark.parametrize("name", ["", "."])
def test_an_output_that_is_the_folder_itself_is_rejected(name: str) -> None:
    """Restoring it would replace everything in the folder."""
    change(Path("published/aggregate.provenance.json"), "outputs", {name: "0" * 64})
    with pytest.raises(ValueError, match="expected names of files in the folder of results"):
        restore("published", "results")


@pytest.mark.parametrize("record", [{}, {"folder": "a"}, {"folder": 3, "outputs": 3}])
def test_a_record_with_missing_entries_is_rejected(record: Any) -> None:
    write_signed("published/aggregate.provenance.json", record)
    with pytest.raises(ValueError, match=r"aggregate\.provenance\.json: expected a whole file"):
        restore("published", "results")


def test_a_device_among_the_modules_is_not_read() -> None:
    """A record can name any file as a module; /dev/zero has no end."""
    Path("results").rename("old")
    record = Path("published/aggregate.provenance.json")
    change(record, "code", {"/dev/zero": "0" * 64})
    assert restore("published", "results").skipped == {
        "results/experiments/x-2/aggregate": "made by other code: /dev/zero"
    }


@pytest.mark.parametrize("name", ["../../outside", "/tmp/outside"])
def test_a_store_with_members_outside_it_is_rejected(project: Path, name: str) -> None:
    Path("results").rename("old")
    with zipfile.ZipFile("published/stores/activations/1/net.zarr.zip", "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(ValueError, match=r"net\.zarr\.zip: expected members that stay in the"):
        restore("published", "results")
    assert not Path("results", STORE).exists()
    assert not (project.parent / "outside").exists()


def test_a_zip_bomb_is_rejected() -> None:
    """A hundred million zeros take a hundred thousand bytes."""
    Path("results").rename("old")
    packed = "published/stores/activations/1/net.zarr.zip"
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more", bytes(10**8))
    with pytest.raises(ValueError, match=r"zarr\.zip: expected at most .* found 0\.1 GB"):
        restore("published", "results")
    assert not Path("results", STORE).exists()
