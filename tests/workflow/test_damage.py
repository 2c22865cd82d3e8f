"""Flip one bit, 200 times per kind of file: a one-line error names the file, or nothing changes.

Before its work a job checks its inputs against the signed records of the jobs that made them. Files
that belong to no job are signed themselves. A store's chunks have their own checksums.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from jobs import job, make_result, record_for

import subspace_match as sm
from subspace_match.data import prepared
from subspace_match.experiment import planned_layers
from subspace_match.experiment.comparisons import models_of
from subspace_match.experiment.config import validated
from subspace_match.experiment.user_files import content_digest
from subspace_match.networks.architectures import build, initialise
from subspace_match.networks.checkpoints import save_network, write_network_record
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.resume import ResumeFile
from subspace_match.networks.stages import Epoch, Stages
from subspace_match.storage.activations import ActivationStore, new_store
from subspace_match.storage.files import write_record, write_table
from subspace_match.storage.job_records import Records, check
from subspace_match.storage.match_files import save_moments
from subspace_match.storage.result_origin import LayerOrigin
from subspace_match.workflow.invocation import INVOCATION, invocation

FLIPS = 200
CONFIG = {"results": "results"}
ARCHITECTURE = {"name": "plain20", "width": 0.1, "hidden": [], "channels": 1, "classes": 2}
ORIGIN = LayerOrigin("d", ("a", "b"), ("aa", "bb"), "conv1", "0", "conv", 1, 40, 0)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, CONFIG, CONFIG))
    return tmp_path


def flipped(path: Path) -> Iterator[str]:
    """Flip one bit of a file at a time and describe it; restore the file after the last one."""
    whole = path.read_bytes()
    bits = np.random.default_rng(0).choice(8 * len(whole), FLIPS, replace=8 * len(whole) < FLIPS)
    for bit in bits:
        content = bytearray(whole)
        content[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(content)
        yield f"bit {bit % 8} of byte {bit // 8} of {path.name}"
    path.write_bytes(whole)


def error_of(read: Callable[[], Any], naming: str) -> str | None:
    """Return the one-line error of reading, which names a file; None without an error."""
    try:
        read()
    except ValueError as error:
        text = str(error)
        assert naming in text
        assert "remove" in text
        assert len(text.splitlines()) == 1
        return text
    return None


def network() -> torch.nn.Module:
    network = build(**ARCHITECTURE)
    initialise(network, 0)
    return network


def save_images(path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
    split = prepared.Split(images, np.arange(20) % 2, np.arange(20))
    about = {"name": "mnist_5k", "classes": 2, "mean": [0.1], "std": [0.3]}
    prepared.save(path, prepared.DataSet(split, split, about))


def a_pair() -> sm.PairMoments:
    return sm.reduce(*np.maximum(np.random.default_rng(0).normal(size=(2, 40, 6)), 0))


def a_table() -> pd.DataFrame:
    return pd.DataFrame({"layer": ["conv1", "conv2"] * 20, "similarity": np.linspace(0, 1, 40)})


OUTPUTS: dict[str, Callable[[Path], None]] = {
    "last.safetensors": lambda path: save_network(
        path, network(), ARCHITECTURE, Preprocessing((0.1,), (0.3,))
    ),
    "images.safetensors": save_images,
    "last.json": lambda path: write_network_record(
        path, __file__, digest="d", seed=0, stage="last"
    ),
    "data.json": lambda path: write_record(path, {"mean": [0.1], "classes": 2, "sha256": "0"}),
    "moments.npz": lambda path: save_moments(path, [(ORIGIN, a_pair())]),
    "similarity.parquet": lambda path: write_table(a_table(), path),
    "similarity.csv": lambda path: write_table(a_table(), path),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_flipped_bit_in_an_output_is_found(name: str) -> None:
    folder = "networks/net-1/seed_0"
    path = Path("results", folder, name)
    make_result("make", folder, [name], CONFIG)
    OUTPUTS[name](path)
    record_for(job("make", folder, [name], CONFIG)).write()
    reader = job("read", "experiments/x-2", ["a.csv"], CONFIG, [f"{folder}/{name}"])
    assert error_of(lambda: record_for(reader).made_from, name) is None
    for where in flipped(path):
        assert error_of(lambda: record_for(reader).made_from, name) is not None, where


def test_a_flipped_bit_in_a_record_is_found() -> None:
    make_result("make", "networks/net-1/seed_0", ["last.safetensors"], CONFIG, seed="0")
    made = "results/networks/net-1/seed_0/last.safetensors"
    whole = Records().required(made).record
    for where in flipped(Path(made).with_name("make.provenance.json")):
        read = Records()
        if error_of(lambda read=read: read.required(made), "make.provenance.json") is None:
            assert read.required(made).record == whole, where


def test_a_flipped_bit_in_a_listing_of_layers_is_found(folder: Path) -> None:
    config = validated({"network": {"width": 0.05, "hidden": [6]}})
    model = models_of(config)["base"]
    whole = planned_layers.layers_of(model, config, folder / "layers.json")
    for where in flipped(folder / "layers.json"):
        found: list[Any] = []
        read = lambda found=found: found.append(  # noqa: E731
            planned_layers.layers_of(model, config, folder / "layers.json")
        )
        if error_of(read, "layers.json") is None:
            assert found == [whole], where


@pytest.mark.parametrize("settled", [True, False])
def test_damaged_checksums_of_the_users_files_are_computed_again(
    settled: bool, folder: Path
) -> None:
    weights = folder / "weights.pt"
    weights.write_text("pretrained")
    os.utime(weights, ns=(0, 0))
    young = "subspace_match.experiment.user_files._YOUNG"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(young, 0 if settled else 10**18)
        whole = content_digest(f"weights {weights}", folder / "contents")
    (file,) = (folder / "contents").iterdir()
    for where in flipped(file):
        assert content_digest(f"weights {weights}", folder / "contents") == whole, where


def test_a_flipped_bit_in_the_resume_file_is_found(folder: Path) -> None:
    checkpoint = ResumeFile(folder / "resume.safetensors", "this code")
    progress = {"history": [[1, 0.1]], "stages": {"initial": "0123"}}
    checkpoint.save(network().state_dict(), progress)
    tensors, _ = checkpoint.load() or ({}, {})
    assert tensors
    for where in flipped(checkpoint.path):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = checkpoint.load()
        if found is None:
            (warning,) = caught
            assert "resume.safetensors: expected a whole file" in str(warning.message), where
            assert (folder / "resume.safetensors.damaged").exists()
            assert len(str(warning.message).splitlines()) == 1
        else:
            assert found[1] == progress, where
            assert found[0].keys() == tensors.keys()
            assert all(torch.equal(found[0][name], tensors[name]) for name in tensors), where


def test_a_flipped_bit_in_a_kept_stage_is_found(folder: Path) -> None:
    history = [Epoch(1, 0.1, 0.2, 0.3, 0.4, 0.5, "cpu")]
    stages = Stages(
        folder, [], lambda path, network: save_network(path, network, {}, Preprocessing((0,), (1,)))
    )
    stages.begin(network())
    stages.after_epoch(network(), history)
    assert stages.find_fault(history) is None
    for where in flipped(stages.file("best", history)):
        assert "best_1.safetensors" in (stages.find_fault(history) or ""), where


@pytest.fixture
def store(folder: Path) -> Path:
    rows = np.random.default_rng(0).random((50, 8), np.float32)
    rows[:, 0] = 0
    make_result("extract", "activations/1", ["net.zarr/"], CONFIG)
    layers = [{"name": "conv1", "draws": 1, "samples": 50, "neurons": 8}]
    path = folder / "results" / "activations" / "1" / "net.zarr"
    with new_store(path, {"network": "net", "accuracy": 0.9}, layers) as writer:
        writer.samples("conv1", 0, np.arange(50))
        writer.append("conv1", 0, rows)
    record_for(job("extract", "activations/1", ["net.zarr"], CONFIG)).write()
    return path


def content(store: Path) -> list[Any]:
    opened = ActivationStore(store)
    arrays = opened.activations("conv1")[:], opened.samples("conv1")
    return [opened.about, opened.layers, *(array.tolist() for array in arrays)]


@pytest.mark.parametrize(
    "file",
    [
        "manifest.json",
        "zarr.json",
        "activations/conv1/draw_0/zarr.json",
        "activations/conv1/draw_0/c/0/0",
        "samples/conv1/draw_0/zarr.json",
        "samples/conv1/draw_0/c/0",
    ],
)
def test_a_flipped_bit_in_a_store_is_found(store: Path, file: str) -> None:
    whole = content(store)
    check(store, Records().required(store))
    found: list[Any] = []
    for where in flipped(store / file):
        found.clear()
        read = lambda: found.append(content(store))  # noqa: E731
        if error_of(read, "net.zarr") is None:
            assert found == [whole], where
        # `subspace-match provenance` finds every flip, also one that a reader would not notice.
        job = Records().required(store)
        assert error_of(lambda job=job: check(store, job), "net.zarr") is not None, where
