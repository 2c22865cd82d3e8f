"""The provenance of a result: what made it, and what its inputs were made from."""

import json
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
import torch
import yaml
import zarr
from jobs import make_result

from subspace_match import __version__
from subspace_match.cli import main
from subspace_match.storage.files import sha256
from subspace_match.storage.job_records import Records
from subspace_match.workflow.invocation import INVOCATION, invocation
from subspace_match.workflow.publishing import publish

CONFIG = {"results": "results", "seeds": [0, 2], "chance": {"permutations": 2, "seed": 7}}
DEFAULT = CONFIG | {"seeds": [0, 1], "chance": {"permutations": 19, "seed": 7}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of a data set, a training, an extraction and a table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["snakemake", "--cores", "2"])
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, CONFIG, DEFAULT))
    make_result("prepare_data", "data/mnist-1", ["images.safetensors", "data.json"], CONFIG)
    make_result(
        "train",
        "networks/vgg-2/seed_0",
        ["best.safetensors", "last.safetensors", "last.json"],
        CONFIG,
        ["data/mnist-1/images.safetensors"],
        seed="0",
    )
    network = "networks/vgg-2/seed_0/last.safetensors"
    make_result("extract", "activations/3", ["vgg-2.zarr/"], CONFIG, [network])
    monkeypatch.setattr("sys.argv", ["snakemake"])
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, CONFIG, DEFAULT))
    made_from = ["activations/3/vgg-2.zarr", "networks/vgg-2/seed_0/last.json"]
    make_result(
        "aggregate", "experiments/vgg-4", ["tables/a.csv", "metrics.json"], CONFIG, made_from
    )
    return tmp_path


def described(file: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["provenance", file]) == 0
    printed: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return printed


def test_names_are_printed_as_they_are(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = project.rename(project.with_name("Sørén"))
    file = moved / "results" / "experiments" / "vgg-4" / "tables" / "a.csv"
    assert main(["provenance", str(file)]) == 0
    assert f"file: {file}\n" in capsys.readouterr().out


def test_a_tables_provenance_covers_all_its_inputs(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = described("results/experiments/vgg-4/tables/a.csv", capsys)
    assert found["made_by"] == {"rule": "aggregate"}
    assert found["differs_from_default"] == {"seeds": [0, 2], "chance": {"permutations": 2}}
    assert found["seeds"] == {"seeds": [0, 2], "chance.seed": 7}
    # The extracted network, and no other.
    network = "networks/vgg-2/seed_0/last.safetensors"
    assert found["networks_sha256"] == {network: sha256(project / "results" / network)}
    data = "data/mnist-1/images.safetensors"
    assert found["data_sha256"] == {data: sha256(project / "results" / data)}
    assert found["digests"] == {
        "experiments": ["vgg-4"],
        "activations": ["3"],
        "networks": ["vgg-2"],
        "data": ["mnist-1"],
    }
    assert found["config"] == CONFIG
    own, before = found["runs"]
    assert (own["rules"], own["command"]) == (["aggregate"], "snakemake")
    assert set(before["rules"]) == {"extract", "train", "prepare_data"}
    assert before["command"] == "snakemake --cores 2"
    assert own["packages"] == {
        "subspace-match": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__.partition("+")[0],
        "timm": version("timm"),
        "transformers": version("transformers"),
        "zarr": zarr.__version__,
    }
    assert list(found)[2] == "differs_from_default"


@pytest.mark.usefixtures("project")
def test_a_networks_provenance_has_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    found = described("results/networks/vgg-2/seed_0/best.safetensors", capsys)
    assert found["made_by"] == {"rule": "train", "seed": "0"}
    assert "networks/vgg-2/seed_0/best.safetensors" in found["networks_sha256"]


@pytest.mark.usefixtures("project")
def test_a_file_in_a_store_has_the_stores_provenance(capsys: pytest.CaptureFixture[str]) -> None:
    for file in ("vgg-2.zarr", "vgg-2.zarr/part"):
        assert described(f"results/activations/3/{file}", capsys)["made_by"]["rule"] == "extract"


def test_the_commit_and_uncommitted_changes_are_recorded(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        command = ["git", *identity, *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    assert json.loads(invocation(tmp_path, {}, {}))["commit"] is None
    git("init", "--quiet")
    (tmp_path / "module.py").write_text("")
    git("add", "module.py")
    git("commit", "--quiet", "--message", "All")
    known = json.loads(invocation(tmp_path, {}, {}))
    assert (known["commit"], known["changed"]) == (git("rev-parse", "HEAD"), [])
    (tmp_path / "module.py").write_text("edited")
    assert json.loads(invocation(tmp_path, {}, {}))["changed"] == ["module.py"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.csv", "missing.csv: expected a result of the pipeline, found no such file"),
        (
            "notes.txt",
            "notes.txt: expected a result of the pipeline, found no record of its job"
            " (*.provenance.json) in its folder or above; it is not such a result, or the record"
            " was not copied with it",
        ),
        ("results/experiments/vgg-4/metrics.json", "found a later change"),
        ("results/data/mnist-1/data.json", "prepare_data.provenance.json: expected a whole file"),
        ("results/activations/3/vgg-2.zarr", "vgg-2.zarr/deep/part has the SHA-256"),
        ("results/activations/3/vgg-2.zarr/deep/part", "vgg-2.zarr/deep/part has the SHA-256"),
    ],
)
def test_missing_provenance_is_a_one_line_error_with_exit_code_2(
    file: str, message: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "notes.txt").write_text("nothing")
    (project / "results/experiments/vgg-4/metrics.json").write_text("{}")
    (project / "results/activations/3/vgg-2.zarr/deep/part").write_text("changed")
    (project / "results/data/mnist-1/prepare_data.provenance.json").write_text("{")
    assert main(["provenance", file]) == 2
    error = capsys.readouterr().err
    assert error.startswith("subspace-match: error: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_users_own_input_needs_no_record(project: Path) -> None:
    weights = project / "weights.pt"
    weights.write_text("pretrained")
    make_result(
        "load_pretrained", "networks/own-5/seed_0", ["last.safetensors"], CONFIG, [str(weights)]
    )
    job = Records().find(project / "results/networks/own-5/seed_0/last.safetensors")
    assert job is not None
    assert job.record["inputs"] == {}


def test_a_damaged_record_affects_only_files_without_another_record(project: Path) -> None:
    """A folder can contain the records of many stores."""
    make_result("extract_b", "activations/3", ["vgg-9.zarr/"], CONFIG)
    folder = project / "results/activations/3"
    (folder / "extract_b.provenance.json").write_text("")
    assert Records().required(folder / "vgg-2.zarr").record["rule"] == "extract"
    with pytest.raises(
        ValueError, match=r"vgg-9\.zarr: expected the record .*extract_b.*; remove "
    ) as e:
        Records().required(folder / "vgg-9.zarr")
    assert "\n" not in str(e.value)


def test_a_published_store_is_checked_inside_its_zip_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Records().required(project / "results/activations/3/vgg-2.zarr")
    assert publish(job, "published")
    packed = project / "published/vgg-2.zarr.zip"
    assert described(str(packed), capsys)["made_by"]["rule"] == "extract"
    packed.write_bytes(packed.read_bytes().replace(b"deep/part of", b"deep/part if"))
    assert main(["provenance", str(packed)]) == 2
    assert "vgg-2.zarr.zip: expected what the rule extract made" in capsys.readouterr().err
