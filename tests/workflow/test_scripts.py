"""The scripts of rules, run as Snakemake runs them, on small files."""

import logging
import runpy
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from report.folders import page_data
from snakemake.iocontainers import InputFiles, OutputFiles, Params

import subspace_match as sm
from subspace_match.data import prepared
from subspace_match.experiment.config import validated
from subspace_match.figures import FIGURES
from subspace_match.figures.style import save
from subspace_match.matching import backends
from subspace_match.networks.architectures import build
from subspace_match.networks.checkpoints import save_network
from subspace_match.networks.images import Images
from subspace_match.networks.layer_info import LayerInfo
from subspace_match.networks.layered_network import LayeredNetwork
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.report import read_run, write_page
from subspace_match.results.registry import TABLES, read_networks
from subspace_match.storage.activations import ActivationStore
from subspace_match.storage.files import read_record, sha256, write_record
from subspace_match.storage.match_files import (
    LayerMatch,
    load_certificates,
    load_minimal_matches,
    save_matches,
    save_moments,
)
from subspace_match.storage.network_results import TopImages, save_top_images
from subspace_match.storage.result_origin import LayerOrigin, Origin
from subspace_match.workflow.job import log

PROJECT = Path(__file__).parents[2]
EPSILONS = [0.3, 0.5]
NETWORKS = {
    "n0": {"model": "base", "seed": 0, "stage": "last"},
    "n1": {"model": "encoder", "seed": 0, "stage": "last"},
}
CHECKPOINTS = {"n0": "aa", "n1": "bb"}
ORIGIN = LayerOrigin("matching", ("n0", "n1"), ("aa", "bb"), "conv1", "1", "conv", 1, 60, 0)
PAIR = {
    "comparison": "base last to encoder last",
    "left_out": [],
    **{"network_a": "n0", "model_a": "base", "seed_a": 0, "stage_a": "last"},
    **{"network_b": "n1", "model_b": "encoder", "seed_b": 0, "stage_b": "last"},
}

Script = Callable[..., None]


class NoRecord:
    """Stands in for the records of a job, none of whose results exists."""

    def __init__(self, job: SimpleNamespace, _code: object) -> None:
        each = job.params.get("each")
        self.several, self.made_from = each is not None, {}
        self.results = [SimpleNamespace(file=f"result_{n}") for n in range(len(each or [None]))]

    def missing(self) -> list[int]:
        return list(range(len(self.results)))

    def write(self, number: int) -> None:
        assert number in self.missing()


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    """Return a function that runs a rule's script in a temporary folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(logging.getLogger("py.warnings"), "handlers", [])
    # Locks, records and checks around the work have their own tests.
    monkeypatch.setattr("subspace_match.workflow.job.JobRecord", NoRecord)
    for name in ("check_as_planned", "code_files"):
        monkeypatch.setattr(f"subspace_match.workflow.job.{name}", lambda *_: None)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    before = signal.getsignal(signal.SIGTERM)
    config = validated({"device": "cpu", "results": "results"})

    def run(name: str, *, params: dict[str, Any], **files: dict[str, Any]) -> None:
        job = SimpleNamespace(
            config=config,
            input=InputFiles(fromdict=files["input"]),
            output=outputs(files["output"]),
            params=Params(fromdict=params),
            wildcards=SimpleNamespace(network="n0"),
            log=[f"{name}.log"],
            resources={},
            scriptdir=str(PROJECT / "workflow_scripts"),
        )
        file = PROJECT / "workflow_scripts" / f"{name}.py"
        runpy.run_path(str(file), init_globals={"snakemake": job})

    yield run
    signal.signal(signal.SIGTERM, before)
    logging.captureWarnings(False)


def outputs(named: dict[str, Any]) -> OutputFiles:
    """Return outputs as Snakemake does: in one list, of which a name can mean a part."""
    files = OutputFiles()
    for name, value in named.items():
        own, start = [value] if isinstance(value, str) else value, len(files)
        files.extend(own)
        files._set_name(name, start, None if own == [value] else len(files))
    return files


@pytest.fixture
def path(tmp_path: Path) -> sm.MatchPath:
    """A match path, saved with its moments as the rule match saves them."""
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(60, 8)), 0)
    made = sm.match_path(sm.reduce(x, x + 0.3 * rng.normal(size=x.shape)), device="cpu")
    save_moments(tmp_path / "moments.npz", [(ORIGIN, made.pair)])
    save_matches(tmp_path / "path.npz", [LayerMatch.from_path(made, ORIGIN)])
    return made


def certify(script: Script) -> None:
    script(
        "certify",
        input={"path": "path.npz", "moments": "moments.npz"},
        output={"certificates": "certificates.npz"},
        params={"epsilons": EPSILONS, "digest": "certificates"},
    )


def measure(script: Script) -> None:
    script(
        "measure",
        input={"moments": "moments.npz"},
        output={"measures": "measures.npz"},
        params={"layers": ["conv1"]},
    )


def minimal_match(script: Script) -> None:
    script(
        "minimal_match",
        input={"path": "path.npz", "moments": "moments.npz"},
        output={"minimal": "minimal.npz"},
        params={"layers": ["conv1"], "epsilon": 0.5, "orders": 1},
    )


def aggregate(script: Script, accuracies: tuple[float | None, float | None]) -> Path:
    """Run the script and return the folder of the experiment."""
    for (key, checkpoint), accuracy in zip(CHECKPOINTS.items(), accuracies, strict=True):
        write_record(f"{key}.json", {"sha256": checkpoint})
        origin = Origin("top_images", (key,), (checkpoint,))
        layers = {"conv1": (np.arange(72).reshape(8, 9) % 20, np.ones((8, 9)))}
        save_top_images(f"{key}.npz", TopImages(origin, accuracy, layers))
    folder = "results/experiments/x-1"
    output = {
        f"{name}_{suffix}": f"{folder}/tables/{name}.{suffix}"
        for name, formats in TABLES.items()
        for suffix in formats
    }
    output |= {name: f"{folder}/{name}.json" for name in ("metrics", "config")}
    script(
        "aggregate",
        input={
            "matches": ["path.npz"],
            "certificates": ["certificates.npz"],
            "measures": ["measures.npz"],
            "minimal": ["minimal.npz"],
            **{"nulls": [], "consensus": [], "heat_maps": [], "within_networks": []},
            "top_images": [f"{key}.npz" for key in NETWORKS],
            "records": [f"{key}.json" for key in NETWORKS],
        },
        output=output,
        params={
            "epsilons": EPSILONS,
            "networks": {key: dict(network) for key, network in NETWORKS.items()},
            "pairs": [PAIR],
            "together": [],
            **{f"{name}_digest": name for name in ("top_images", "matching", "null", "heat_map")},
            "certificate_digest": "certificates",
            "consensus_digest": "consensus",
            "within_network_digest": "within_network",
        },
    )
    return Path(folder)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all devices that are asked for, in order."""
    asked: list[str] = []
    resolve = backends.resolve_device

    def noted(device: Any) -> Any:
        asked.append(device if isinstance(device, str) else device.name)
        return resolve(device)

    for module in ("backends", "path", "reduction.moments", "minimal.search"):
        monkeypatch.setattr(
            f"subspace_match.matching.{module}.resolve_device", noted, raising=False
        )
    return asked


@pytest.mark.usefixtures("path")
def test_certificates_use_the_configured_device_and_tables_use_none(
    script: Script, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certify(script)
    assert set(devices) == {"cpu"}
    devices.clear()
    measure(script)
    minimal_match(script)
    Path("moments.npz").unlink()
    monkeypatch.setattr(sm.MatchPath, "verify", None)
    aggregate(script, (0.9, 0.8))
    assert devices == []


def test_the_tables_hold_the_results_of_the_other_jobs(script: Script, path: sm.MatchPath) -> None:
    certify(script)
    measure(script)
    minimal_match(script)
    folder = aggregate(script, (0.9, 0.8)) / "tables"
    certificates = path.verify(EPSILONS, device="cpu")
    origin = replace(ORIGIN, digest="certificates")
    assert load_certificates("certificates.npz") == {origin: certificates}
    similarity = pd.read_parquet(folder / "similarity.parquet")
    assert similarity["similarity"].tolist() == list(path.similarity(EPSILONS))
    assert similarity["margin"].tolist() == [proof.margin for proof in certificates]
    measures = pd.read_parquet(folder / "measures.parquet")
    assert measures["value"].tolist() == list(sm.all_measures(path.pair).values())


def test_minimal_matches_come_from_the_saved_path(script: Script, path: sm.MatchPath) -> None:
    """Also where a new path would differ, as rounding on a GPU can make it."""
    critical = path.critical_epsilon_x.copy()
    in_match = path.maximum_match(0.5).x
    assert len(in_match) > 2
    critical[in_match[0]] = 0.51
    saved = sm.MatchPath(critical, path.critical_epsilon_y, path.removal_order, path.pair)
    save_matches("path.npz", [LayerMatch.from_path(saved, ORIGIN)])
    minimal_match(script)
    ((epsilon, found),) = load_minimal_matches("minimal.npz").values()
    matched = np.flatnonzero(saved.critical_epsilon <= 0.5)
    np.testing.assert_array_equal(np.flatnonzero(found.match_of >= 0), matched)
    assert epsilon == 0.5


@pytest.mark.parametrize("size", [32, 40])
def test_layers_other_than_planned_are_not_extracted(
    size: int, script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    split = prepared.Split(np.zeros((8, 1, 32, 32), np.uint8), np.arange(8), np.arange(8))
    about = {"name": "mnist_5k", "classes": 10, "mean": [0.5], "std": [0.5], "test_images": 8}
    prepared.save("images.safetensors", prepared.DataSet(split, split, about))
    architecture = {"name": "plain20", "width": 0.1, "hidden": [], "channels": 1, "classes": 10}
    network = build(**architecture)
    save_network("n.safetensors", network, architecture, Preprocessing((0.5,), (0.5,)))
    write_record("n.json", {"sha256": sha256("n.safetensors"), "seed": 0, "stage": "last"})
    layered = LayeredNetwork(network, torch.zeros(2, 1, size, size))
    planned = [asdict(layer) for layer in layered.layers]
    settings = {
        "nodes": "relu",
        "neuron_axis": None,
        "tokens": "all",
        "positions": 20,
        "draws": 2,
        "position_seed": 0,
        "batch_size": 8,
    }
    files = {"images": "images.safetensors", "network": "n.safetensors", "record": "n.json"}
    each = [
        {"extraction": settings, "digest": "d"},
        {"extraction": settings, "digest": "e", "heat_map": {"positions": 16, "seed": 0}},
    ]
    params = {"each": each, "planned": planned, "task": "classify"}
    output = {"stores": ["n.zarr", "n_heat_map.zarr"]}
    replace, complete = Path.replace, []

    def noting(path: Path, target: Path) -> Path:
        if target.suffix == ".zarr":
            complete.append([store.parent for store in Path().glob(".n*.partial/manifest.json")])
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", noting)
    if size == 32:
        script("extract", input=files, output=output, params=params)
        # Both are complete before the first gets its name.
        assert list(map(len, complete)) == [2, 1]
        values: dict[str, np.ndarray] = {}

        def keep(layer: LayerInfo, maps: torch.Tensor) -> None:
            values[layer.name] = maps.reshape(-1, layer.neurons).numpy()

        items = Images.on_device(split, Preprocessing((0.5,), (0.5,)), torch.device("cpu"))
        ((inputs, _),) = items.batches(8)
        layered.run(inputs, keep)
        for store, draws in zip(map(ActivationStore, output["stores"]), (2, 1), strict=True):
            assert list(store.layers) == [layer["name"] for layer in planned]
            assert store.layers["conv1"]["draws"] == draws
            for name, entry in store.layers.items():
                for draw in range(entry["draws"]):
                    expected = values[name][store.samples(name, draw)]
                    found = store.activations(name, draw)[:]
                    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
        assert ActivationStore("n_heat_map.zarr").activations("conv9").shape[0] == 16
        return
    with pytest.raises(SystemExit):
        script("extract", input=files, output=output, params=params)
    error = capsys.readouterr().err
    assert error.startswith("ERROR: n.safetensors: expected the layers that were planned, conv1 (")
    assert "conv) of 40 x 40" in error
    assert "conv) of 32 x 32" in error
    assert error.count("\n") == 1
    assert not Path("n.zarr").exists()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("accuracies", [(0.9, None), (None, None)])
def test_a_network_that_is_no_classifier_is_compared_too(
    script: Script, accuracies: tuple[float | None, float | None]
) -> None:
    """Tables, metrics, figures and the page all accept an accuracy of None."""
    certify(script)
    measure(script)
    minimal_match(script)
    folder = aggregate(script, accuracies)
    found = read_record(folder / "metrics.json")["accuracy"]
    assert found == dict(zip(["base.seed_0", "encoder.seed_0"], accuracies, strict=True))
    text = (folder / "tables" / "networks.csv").read_text()
    assert "nan" not in text.lower()
    made = {file.stem: pd.read_parquet(file) for file in (folder / "tables").glob("*.parquet")}
    made["networks"] = read_networks(folder / "tables" / "networks.csv")
    images = np.zeros((20, 1, 8, 8), np.uint8)
    for name, spec in FIGURES.items():
        save(spec.draw(made, images.__getitem__), f"{name}.png")
    write_page([read_run(folder)], "report.html")
    (shown,) = page_data(Path("report.html").read_text())
    assert [network["accuracy"] for network in shown["networks"]] == list(accuracies)
