"""Digests of code and files: in the plan, and checked again by each job."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from subspace_match.experiment.code_inputs import LISTING, PROJECT, Code
from subspace_match.experiment.config import Config, validated
from subspace_match.experiment.origins import config_of, origins_of
from subspace_match.workflow.invocation import (
    INVOCATION,
    check_as_planned,
    code_files,
    plan_for_jobs,
    planned_origins,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("subspace_match", "workflow_scripts", "rules", "config"):
        shutil.copytree(PROJECT / name, tmp_path / "project" / name)
    return tmp_path / "project"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    image = tmp_path / "images" / "train" / "cat" / "1.png"
    image.parent.mkdir(parents=True)
    image.write_text("image")
    data = {"name": "image_folder", "root": str(tmp_path / "images")}
    return validated({"data": data, "results": str(tmp_path / "results")})


@pytest.fixture
def job(project: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A job of ``extract`` in a planned run."""
    code = Code(project)
    origins = origins_of(config, code, config["results"])
    monkeypatch.setenv(INVOCATION, json.dumps(plan_for_jobs(origins, code)))
    assert planned_origins() == origins
    return SimpleNamespace(
        rule="extract",
        scriptdir=str(project / "workflow_scripts"),
        config=config,
        params={"reads": [f"data image_folder {config['data']['root']}"]},
    )


def test_a_job_runs_if_nothing_has_changed_since_the_plan(job: SimpleNamespace) -> None:
    check_as_planned("extract", job)
    assert {file.name for file in code_files("extract", job)} >= {"extract.py", "extract.smk"}


@pytest.mark.parametrize(
    "file", ["workflow_scripts/extract.py", "subspace_match/storage/activations.py"]
)
def test_a_job_fails_if_its_code_has_changed_since_the_plan(
    job: SimpleNamespace, project: Path, file: str
) -> None:
    with (project / file).open("a") as stream:
        stream.write("# edited\n")
    with pytest.raises(ValueError, match=r"extract: expected the code of extract as when the run"):
        check_as_planned("extract", job)
    check_as_planned("plot", SimpleNamespace(**vars(job) | {"params": {}}))
    (project / file).unlink()
    with pytest.raises(ValueError, match="run snakemake again, finished results are kept"):
        check_as_planned("extract", job)


def test_a_job_fails_if_its_images_have_changed_since_the_plan(
    job: SimpleNamespace, config: Config
) -> None:
    image = Path(config["data"]["root"], "train", "cat", "1.png")
    image.write_text("other")
    with pytest.raises(ValueError, match=r"expected what is named by 'data image_folder .*images'"):
        check_as_planned("extract", job)
    image.write_text("image")
    check_as_planned("extract", job)
    image.with_name("2.png").symlink_to("nothing.png")
    with pytest.raises(ValueError, match=r"which this job reads, found no .*2\.png; bring them"):
        check_as_planned("extract", job)
    image.with_name("2.png").unlink()
    image.unlink()
    with pytest.raises(
        ValueError, match=r"extract: expected the files of 'data image.* found none"
    ):
        check_as_planned("extract", job)


def test_a_job_outside_a_run_is_an_error(
    job: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(INVOCATION)
    with pytest.raises(ValueError, match="expected a job of the workflow, found none"):
        check_as_planned("extract", job)


def test_every_script_has_its_own_digest(project: Path, config: Config) -> None:
    code = origins_of(config, Code(project), config["results"]).code
    assert set(code) == set(Code(project).names)
    assert LISTING in code
    assert len(set(code.values())) == len(code)


def test_missing_files_are_an_error_with_advice(project: Path, tmp_path: Path) -> None:
    for data in ({"name": "cifar10"}, {"name": "image_folder"}, {"name": "mnist"}):
        config = validated({"data": data | {"root": str(tmp_path / "none")}})
        with pytest.raises(ValueError, match=r"data\.root: expected .*none.*found no such folder"):
            origins_of(config, Code(project), tmp_path / "results")


def test_later_configurations_override_earlier_ones_section_by_section(project: Path) -> None:
    for name, text in (("a", "seeds: [5]\ndata: {split_seed: 1}"), ("b", "data: {workers: 0}")):
        (project / f"{name}.yaml").write_text(text)
    config = config_of(project, [project / "a.yaml", project / "b.yaml"])
    assert (config["seeds"], config["data"]["split_seed"], config["data"]["workers"]) == ([5], 1, 0)
    assert config["data"]["name"] == "mnist_5k"
