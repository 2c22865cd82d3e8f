"""What nothing names any more is listed and removed, and nothing else."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import leave

from subspace_match.storage.job_records import SUFFIX
from subspace_match.workflow import prune
from subspace_match.workflow.file_lock import exclusive_writer
from subspace_match.workflow.invocation import INVOCATION, invocation
from subspace_match.workflow.prune import command, find, remove

CONFIG = {"results": "results"}
RESULTS = Path("results")
OTHERS = ("last.safetensors", f"train{SUFFIX}")
OLD = ("networks/net-1/seed_0/train", "activations/1/net.zarr", "experiments/x-1/plot")
PRESENT = ("networks/net-2/seed_0/train", "activations/2/net.zarr", "experiments/x-2/plot")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which two versions of the code made a network, a recording and figures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, CONFIG, CONFIG))
    for n in (1, 2):
        network = f"networks/net-{n}/seed_0/last.safetensors"
        leave("train", f"networks/net-{n}/seed_0", ["last.safetensors"], CONFIG)
        leave("net.zarr", f"activations/{n}", ["net.zarr/"], CONFIG, [network])
        leave("plot", f"experiments/x-{n}", ["figures/a.svg"], CONFIG, [network])
    for base in (*OLD, *PRESENT):
        for area, suffix in (("logs", ".log"), ("benchmarks", ".tsv")):
            beside = RESULTS / area / f"{base}{suffix}"
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(base)
        with exclusive_writer(RESULTS / base, print):
            pass
    return tmp_path


def named() -> set[Path]:
    """Outputs, as Snakemake plans them, the records among them."""
    outputs = ["networks/net-2/seed_0/last.safetensors", "activations/2/net.zarr"]
    outputs += ["experiments/x-2/figures/a.svg", *(f"{base}{SUFFIX}" for base in PRESENT)]
    return {(RESULTS / output).absolute() for output in outputs}


def files() -> set[str]:
    return {str(file.relative_to(RESULTS)) for file in RESULTS.rglob("*") if file.is_file()}


def bases(*names: str) -> set[Path]:
    return {(RESULTS / name).absolute() for name in names}


def test_what_is_not_named_goes_with_its_log_and_what_is_named_stays() -> None:
    before = files()
    found = find(RESULTS, named())
    assert set(found.unnamed) == bases(*OLD)
    assert found.kept == {}
    assert files() == before
    remove(found, RESULTS)
    assert files() == {file for file in before if not {"net-1", "1", "x-1"} & set(Path(file).parts)}
    for area in ("", "logs", "benchmarks"):
        assert not (RESULTS / area / "networks" / "net-1").exists()
    assert find(RESULTS, named()).unnamed == {}


def test_what_an_unfinished_job_left_goes_and_that_of_a_named_one_stays() -> None:
    left = ("resume.safetensors", "resume.safetensors.damaged", ".last.json.0123.partial")
    for folder in (RESULTS / OLD[0], RESULTS / PRESENT[0]):
        for name in left:
            (folder.parent / name).write_text("part")
        (folder.parent / "stages.partial").mkdir()
        (folder.parent / "stages.partial" / "best.safetensors").write_text("part")
    # One that left no record.
    began = RESULTS / "nulls" / "1" / "group"
    with exclusive_writer(began, print):
        (began.parent / ".group.npz.0123.partial").write_text("part")
    found = find(RESULTS, named())
    assert set(found.unnamed) == bases(*OLD, "nulls/1/group")
    remove(found, RESULTS)
    assert not (RESULTS / "networks" / "net-1").exists()
    assert not began.parent.exists()
    present = {file.name for file in (RESULTS / PRESENT[0]).parent.iterdir()}
    assert {*left, "stages.partial"} <= present


def test_what_is_not_the_projects_own_stays_and_is_named() -> None:
    notes = (
        "notes.txt",
        "experiments/x-1/notes.txt",
        "old/a/b/c.npz",
        "activations/1/other.zarr/a",
    )
    for note in notes:
        (RESULTS / note).parent.mkdir(parents=True, exist_ok=True)
        (RESULTS / note).write_text("mine")
    found = find(RESULTS, named())
    remove(found, RESULTS)
    assert all((RESULTS / note).read_text() == "mine" for note in notes)
    shown = ("notes.txt", "experiments/x-1/notes.txt", "old", "activations/1/other.zarr")
    assert set(found.kept) == bases(*shown)


def test_what_a_job_is_writing_stays() -> None:
    before = files()
    with exclusive_writer(RESULTS / OLD[0], print):
        found = find(RESULTS, named())
        remove(found, RESULTS)
    assert set(found.kept) == bases(OLD[0])
    assert {file for file in before if "net-1" in Path(file).parts} <= files()
    assert not (RESULTS / OLD[1]).exists()


def test_a_record_that_is_damaged_or_names_other_files_removes_nothing(project: Path) -> None:
    (project / "precious").write_text("mine")
    record = RESULTS / f"{OLD[0]}{SUFFIX}"
    record.write_text(record.read_text()[:-9])
    # Signed, and hostile all the same.
    hostile = RESULTS / f"{OLD[2]}{SUFFIX}"
    leave("plot", "experiments/x-1", ["../../../precious"], CONFIG)
    found = find(RESULTS, named())
    remove(found, RESULTS)
    assert set(found.kept) >= {record.absolute(), hostile.absolute()}
    assert (RESULTS / "networks/net-1/seed_0/last.safetensors").exists()
    assert (project / "precious").exists()


def test_what_planning_keeps_of_other_code_goes() -> None:
    for name in ("layers/old-1.json", "layers/new-2.json", "contents/old.json"):
        (RESULTS / name).parent.mkdir(exist_ok=True)
        (RESULTS / name).write_text(json.dumps({}))
    found = find(RESULTS, named() | bases("layers/new-2.json"))
    assert set(found.unnamed) == bases(*OLD, "layers/old-1.json", "contents/old.json")
    remove(found, RESULTS)
    assert {file.name for file in (RESULTS / "layers").iterdir()} == {"new-2.json"}


@pytest.mark.parametrize("name", ["{folder}", "../{project}/results", "linked", "results/deeper"])
def test_a_folder_of_results_may_have_two_names_or_lie_in_another(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Two configurations keep each other's results, whatever they call the folder."""
    (project / "Snakefile").touch()
    (project / "linked").symlink_to("results")
    other = name.format(folder=RESULTS.absolute(), project=project.name)
    base = f"{other}/networks/net-3/seed_0"
    leave("train", "networks/net-3/seed_0", ["last.safetensors"], {"results": other})
    files = {None: named(), "mine.yaml": {Path(base, f).absolute() for f in OTHERS}}
    monkeypatch.setattr(prune, "named_files", lambda _, configfile: files[configfile])
    monkeypatch.setattr(prune, "_small_files", lambda *_: set())
    folders = {(): "results", ("mine.yaml",): other}
    monkeypatch.setattr(
        prune, "config_of", lambda _, configfiles: {"results": folders[tuple(configfiles)]}
    )
    command(["--configfile", "mine.yaml", "--delete"])
    assert all(file.exists() for kept in files.values() for file in kept)
    assert not (RESULTS / OLD[1]).exists()


def test_damaged_checksums_of_the_users_files_can_go(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    area = RESULTS / "contents"
    area.mkdir()
    for number, text in enumerate(('{"folder": "/data"}', "[]", "{", "\xff", "")):
        (area / f"{number}.json").write_text(text)
    paths = SimpleNamespace(
        config=CONFIG, models=[], origins=SimpleNamespace(contents=["data cifar10 /data"])
    )
    monkeypatch.setattr(prune, "paths_of", lambda *_: paths)
    assert prune._small_files(project, None) == set()


def test_a_configuration_that_snakemake_refuses_is_told_of_in_its_words(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = 'Error in file "rules/common.smk", line 40:\nnetwork: expected A, found B\n  File "c"'
    answer = SimpleNamespace(returncode=1, stdout="", stderr=f"Building\n{said}, in checked\n")
    monkeypatch.setattr(prune.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(ValueError, match=r"a plan of a.yaml: network: expected A, found B$"):
        prune.named_files(project, "a.yaml")


def test_it_is_called_in_a_projects_folder() -> None:
    with pytest.raises(ValueError, match="expected the project's folder, found no Snakefile"):
        command([])
