"""Files that no plan names are listed and removed, and nothing else."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import make_result

from subspace_match.storage.job_records import SUFFIX
from subspace_match.storage.minimal_resume import resume_file_of
from subspace_match.workflow import prune
from subspace_match.workflow.file_lock import exclusive_writer
from subspace_match.workflow.invocation import INVOCATION, invocation
from subspace_match.workflow.prune import find, remove

CONFIG = {"results": "results"}
RESULTS = Path("results")
OTHERS = ("last.safetensors", f"train{SUFFIX}")
OLD = ("networks/net-1/seed_0/train", "activations/1/net.zarr", "experiments/x-1/plot")
PRESENT = ("networks/net-2/seed_0/train", "activations/2/net.zarr", "experiments/x-2/plot")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of two versions of the code: a network, its activations and figures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, CONFIG, CONFIG))
    for n in (1, 2):
        network = f"networks/net-{n}/seed_0/last.safetensors"
        make_result("train", f"networks/net-{n}/seed_0", ["last.safetensors"], CONFIG)
        make_result("net.zarr", f"activations/{n}", ["net.zarr/"], CONFIG, [network])
        make_result("plot", f"experiments/x-{n}", ["figures/a.svg"], CONFIG, [network])
    for base in (*OLD, *PRESENT):
        for area, suffix in (("logs", ".log"), ("benchmarks", ".tsv")):
            beside = RESULTS / area / f"{base}{suffix}"
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(base)
        with exclusive_writer(RESULTS / base, print):
            pass
    return tmp_path


def named() -> set[Path]:
    """Return the planned outputs, with the records."""
    outputs = ["networks/net-2/seed_0/last.safetensors", "activations/2/net.zarr"]
    outputs += ["experiments/x-2/figures/a.svg", *(f"{base}{SUFFIX}" for base in PRESENT)]
    return {(RESULTS / output).absolute() for output in outputs}


def files() -> set[str]:
    return {str(file.relative_to(RESULTS)) for file in RESULTS.rglob("*") if file.is_file()}


def bases(*names: str) -> set[Path]:
    return {(RESULTS / name).absolute() for name in names}


def test_unplanned_results_and_their_logs_are_removed_and_planned_ones_stay() -> None:
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


def test_unfinished_files_are_removed_unless_their_job_is_planned() -> None:
    left = ("resume.safetensors", "resume.safetensors.damaged", ".last.json.0123.partial")
    for folder in (RESULTS / OLD[0], RESULTS / PRESENT[0]):
        for name in left:
            (folder.parent / name).write_text("part")
        (folder.parent / "stages.partial").mkdir()
        (folder.parent / "stages.partial" / "best.safetensors").write_text("part")
    # A job without a record.
    started = RESULTS / "nulls" / "1" / "group"
    with exclusive_writer(started, print):
        (started.parent / ".group.npz.0123.partial").write_text("part")
    found = find(RESULTS, named())
    assert set(found.unnamed) == bases(*OLD, "nulls/1/group")
    remove(found, RESULTS)
    assert not (RESULTS / "networks" / "net-1").exists()
    assert not started.parent.exists()
    present = {file.name for file in (RESULTS / PRESENT[0]).parent.iterdir()}
    assert {*left, "stages.partial"} <= present


@pytest.mark.parametrize("finished", [True, False])
def test_what_a_planned_job_goes_on_from_stays_beside_unplanned_results(finished: bool) -> None:
    """Also before it has a record; the other job's own file is removed."""
    folder = RESULTS / "minimal_matches" / "1" / "a--b"
    old, planned = (folder / f"conv1-fc1.epsilon-{epsilon}.npz" for epsilon in (0.3, 0.5))
    for minimal in (old, planned):
        with exclusive_writer(minimal, print):
            resume_file_of(minimal).write_text("part")
    partial = folder / f".{planned.name}.0123.partial"
    partial.write_text("part")
    if finished:
        make_result(old.name, "minimal_matches/1/a--b", [old.name], CONFIG)
    found = find(RESULTS, named() | {planned.absolute(), Path(f"{planned.absolute()}{SUFFIX}")})
    assert set(found.unnamed) == bases(*OLD, str(old.relative_to(RESULTS)))
    remove(found, RESULTS)
    kept = {resume_file_of(planned).name, partial.name, f".{planned.name}.lock"}
    assert {file.name for file in folder.iterdir()} == kept


def test_files_of_others_stay_and_are_listed() -> None:
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


def test_the_files_of_a_running_job_stay() -> None:
    before = files()
    with exclusive_writer(RESULTS / OLD[0], print):
        found = find(RESULTS, named())
        remove(found, RESULTS)
    assert set(found.kept) == bases(OLD[0])
    assert {file for file in before if "net-1" in Path(file).parts} <= files()
    assert not (RESULTS / OLD[1]).exists()


def test_a_damaged_or_hostile_record_removes_nothing(project: Path) -> None:
    (project / "precious").write_text("mine")
    record = RESULTS / f"{OLD[0]}{SUFFIX}"
    record.write_text(record.read_text()[:-9])
    # Hostile although its checksum is right.
    hostile = RESULTS / f"{OLD[2]}{SUFFIX}"
    make_result("plot", "experiments/x-1", ["../../../precious"], CONFIG)
    found = find(RESULTS, named())
    remove(found, RESULTS)
    assert set(found.kept) >= {record.absolute(), hostile.absolute()}
    assert (RESULTS / "networks/net-1/seed_0/last.safetensors").exists()
    assert (project / "precious").exists()


def test_files_that_planning_wrote_for_other_code_are_removed() -> None:
    for name in ("layers/old-1.json", "layers/new-2.json", "contents/old.json"):
        (RESULTS / name).parent.mkdir(exist_ok=True)
        (RESULTS / name).write_text(json.dumps({}))
    found = find(RESULTS, named() | bases("layers/new-2.json"))
    assert set(found.unnamed) == bases(*OLD, "layers/old-1.json", "contents/old.json")
    remove(found, RESULTS)
    assert {file.name for file in (RESULTS / "layers").iterdir()} == {"new-2.json"}


@pytest.mark.parametrize("name", ["{folder}", "../{project}/results", "linked", "results/deeper"])
def test_two_configurations_can_share_a_folder_of_results(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """They keep each other's results, also by a link, another path or a nested folder."""
    (project / "Snakefile").touch()
    (project / "linked").symlink_to("results")
    other = name.format(folder=RESULTS.absolute(), project=project.name)
    base = f"{other}/networks/net-3/seed_0"
    make_result("train", "networks/net-3/seed_0", ["last.safetensors"], {"results": other})
    files = {None: named(), "mine.yaml": {Path(base, f).absolute() for f in OTHERS}}
    monkeypatch.setattr(prune, "named_files", lambda _, configfile: files[configfile])
    monkeypatch.setattr(prune, "_small_files", lambda *_: set())
    folders = {(): "results", ("mine.yaml",): other}
    monkeypatch.setattr(
        prune, "config_of", lambda _, configfiles: {"results": folders[tuple(configfiles)]}
    )
    prune.prune(Path(), ["mine.yaml"], delete=True)
    assert all(file.exists() for kept in files.values() for file in kept)
    assert not (RESULTS / OLD[1]).exists()


def test_damaged_checksum_files_are_not_needed(
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


def test_an_invalid_configuration_gives_snakemakes_message(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = 'Error in file "rules/common.smk", line 40:\nnetwork: expected A, found B\n  File "c"'
    answer = SimpleNamespace(returncode=1, stdout="", stderr=f"Building\n{message}, in checked\n")
    monkeypatch.setattr(prune.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(ValueError, match=r"a plan of a.yaml: network: expected A, found B$"):
        prune.named_files(project, "a.yaml")


def test_it_must_run_in_a_projects_folder() -> None:
    with pytest.raises(ValueError, match="expected the project's folder, found no Snakefile"):
        prune.prune(Path(), [], delete=False)


def test_a_list_without_results_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    prune._report(find(RESULTS.absolute(), named()), RESULTS.absolute(), delete=False)
    assert "3 jobs: not needed; --delete would remove it" in capsys.readouterr().out
    prune._report(prune.Found(), RESULTS.absolute(), delete=False)
    assert capsys.readouterr().out == "nothing to remove in results\n"
