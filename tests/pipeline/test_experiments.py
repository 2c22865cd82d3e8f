"""The experiments of config/, end to end, on tiny files in the data sets' real formats."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
import torchvision
import yaml
from pipeline.planned_jobs import plan_of
from pipeline.workspaces import BARE, PROJECT, Workspace

# Small, with every rule.
SMALL = {
    "seeds": [0, 1],
    "extraction": {"positions": 200, "draws": 2},
    "matching": {"layers": ["conv1", "conv5"]},
    "minimal_matches": {"layers": ["conv1"], "epsilons": [0.5]},
    "chance": {"permutations": 19},
    "heat_map": {"positions": 0},
    "figures": {"formats": ["png"]},
}

# torchvision reads CIFAR's pickles only if their MD5 is the published one. This replaces it by that
# of the tiny files in every Python process, once torchvision is imported.
TINY_CIFAR = """
import importlib.abc, importlib.machinery, json, os, sys

NAME = "torchvision.datasets.cifar"

def tell(module):
    with open(os.path.join(os.path.dirname(__file__), "md5.json")) as file:
        for key, value in json.load(file).items():
            setattr(module.CIFAR10, key, value)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != NAME:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def run_and_tell(module):
            run(module)
            tell(module)
        spec.loader.exec_module = run_and_tell
        return spec

if NAME in sys.modules:
    tell(sys.modules[NAME])
else:
    sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def tiny_cifar(tmp_path: Path) -> Path:
    """A folder with a tiny CIFAR-10 and a sitecustomize that makes torchvision accept it."""
    root = tmp_path / "cifar"
    folder = root / torchvision.datasets.CIFAR10.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)

    def batch(file: str) -> list[str]:
        content = {"data": rng.integers(0, 256, (4, 3072), dtype=np.uint8)}
        (folder / file).write_bytes(pickle.dumps(content | {"labels": [*range(4)]}))
        return [file, hashlib.md5((folder / file).read_bytes()).hexdigest()]

    real = torchvision.datasets.CIFAR10
    names = folder / real.meta["filename"]
    names.write_bytes(pickle.dumps({"label_names": [*"abcdefghij"]}))
    known = {
        "train_list": [batch(file) for file, _ in real.train_list],
        "test_list": [batch(file) for file, _ in real.test_list],
        "meta": real.meta | {"md5": hashlib.md5(names.read_bytes()).hexdigest()},
    }
    (root / "md5.json").write_text(json.dumps(known))
    (root / "sitecustomize.py").write_text(TINY_CIFAR)
    return root


def test_cifar_at_full_size(empty_workspace: Callable[..., Workspace], tiny_cifar: Path) -> None:
    workspace = empty_workspace()
    workspace.python_path = tiny_cifar
    (workspace.root / "small.yaml").write_text(
        yaml.safe_dump(
            SMALL
            | {
                "data": {"root": str(tiny_cifar)},
                # One step with all 20 images.
                "training": {"epochs": 1, "batch_size": 20},
            }
        )
    )
    shutil.copy(PROJECT / "config" / "config.yaml", workspace.root / "config")
    run = workspace.make_tables("--configfile", "config/resnet18_cifar10.yaml", "small.yaml")
    assert run.jobs["train"] == 2
    assert run.jobs["match"] == 1
    (tables,) = (workspace.root / "results" / "experiments").glob("resnet18-cifar10-*/tables")
    similarity = pd.read_parquet(tables / "similarity.parquet")
    assert similarity.groupby("layer")["neurons_a"].first().to_dict() == {"conv1": 64, "conv5": 64}
    assert similarity.groupby("layer")["samples"].first().to_dict() == {"conv1": 200, "conv5": 200}


def test_imagenet_with_pretrained_weights_at_full_size(
    empty_workspace: Callable[..., Workspace],
) -> None:
    """With AlexNet, which is as wide as VGG-16 at a tenth of the cost; VGG-16 is planned only."""
    workspace = empty_workspace()
    rng = np.random.default_rng(0)
    for number in range(1000):
        folder = workspace.root / "data" / "imagenet" / "val" / f"n{number:08}"
        folder.mkdir(parents=True)
        if number % 125 == 0:
            pixels = rng.integers(0, 256, (260, 300, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(folder / f"ILSVRC2012_val_{number:08}.JPEG")
    for name in "ab":
        with torch.random.fork_rng():
            torch.manual_seed(ord(name))
            torch.save(torchvision.models.alexnet().state_dict(), workspace.root / f"{name}.pth")
    changes = {
        "network": {"name": "torchvision:alexnet"},
        "models": {name: {"network": {"weights": f"{name}.pth"}} for name in "ab"},
        "compare": [{"models": ["a", "b"], "seeds": "all"}],
        "data": {"workers": 1},
        "extraction": {"positions": 200, "draws": 1},
    }
    (workspace.root / "small.yaml").write_text(yaml.safe_dump(SMALL | changes))
    shutil.copy(PROJECT / "config" / "config.yaml", workspace.root / "config")
    planned = plan_of(workspace, "config/vgg16_imagenet.yaml")
    (layers,) = ([layer.name for layer in each] for each in planned.layers.values())
    assert layers == [*(f"conv{n}" for n in range(1, 14)), "fc1", "fc2"]
    try:
        run = workspace.snakemake("--configfile", "config/vgg16_imagenet.yaml", "small.yaml")
    finally:
        # These files have gigabytes.
        for file in (*workspace.root.glob("*.pth"), *workspace.root.rglob("*.safetensors")):
            file.unlink()
    assert run.jobs["load_pretrained"] == 2
    assert "train" not in run.jobs
    (tables,) = (workspace.root / "results" / "experiments").glob("*/tables")
    similarity = pd.read_parquet(tables / "similarity.parquet")
    assert similarity.groupby("layer")["neurons_a"].first().to_dict() == {"conv1": 64, "conv5": 256}
    networks = pd.read_csv(tables / "networks.csv")
    assert networks["model"].tolist() == ["a", "b"]
    top = pd.read_parquet(tables / "top_images.parquet")
    assert top.groupby("layer")["neuron"].nunique()["fc2"] == 4096


def test_a_network_is_fine_tuned_from_another(workspace: Workspace) -> None:
    """Transfer: source and target are two splits of the digits."""
    models = {
        "source": {"data": {"split_seed": 5}},
        "tuned": {"start": "source", "training": {"epochs": 1, "warmup_epochs": 0}},
        "scratch": {},
    }
    names = [["source", "tuned"], ["tuned", "scratch"]]
    workspace.configure(
        seeds=[0],
        models=models,
        compare=[{"models": pair, "seeds": "same"} for pair in names],
        **BARE,
    )
    run = workspace.make_tables()
    # The model called scratch is there already.
    assert run.jobs["train"] == 2
    assert run.jobs["prepare_data"] == 1
    summary = pd.read_csv(workspace.paths.experiment("tables/summary.csv"))
    assert summary["comparison"].unique().tolist() == [
        "source last to tuned last, same seed",
        "tuned last to scratch last, same seed",
    ]


ENCODER = """
from torch import nn

class Encoder(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3))
"""


def test_an_encoder_is_compared_with_a_classifier(workspace: Workspace) -> None:
    (workspace.root / "encoder.py").write_text(ENCODER)
    workspace.python_path = workspace.root
    with torch.random.fork_rng():
        weights = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3)
        ).state_dict()
    torch.save(weights, workspace.root / "encoder.pt")
    encoder = {"name": "encoder:Encoder", "weights": "encoder.pt", "mean": [0.1], "std": [0.3]}
    workspace.configure(
        seeds=[0],
        models={"base": {}, "encoder": {"network": encoder}},
        compare=[{"models": ["base", "encoder"], "seeds": "all"}],
        matching={"layers": ["conv1"]},
        **BARE,
    )
    run = workspace.snakemake()
    assert run.jobs["load_pretrained"] == 1
    assert "train" not in run.jobs
    table = pd.read_csv(workspace.paths.experiment("tables/networks.csv"))
    without = dict(zip(table["model"], table["accuracy"].isna(), strict=True))
    assert without == {"base": False, "encoder": True}
    metrics = json.loads(Path(workspace.paths.experiment("metrics.json")).read_text())
    accuracies = metrics["accuracy"]
    assert accuracies.pop("encoder.seed_0") is None
    assert all(0 < accuracy < 1 for accuracy in accuracies.values())
    assert Path(workspace.paths.experiment("report.html")).exists()
