"""Networks of timm, of transformers and of one's own, on images and on texts, end to end."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pipeline.workspaces import BARE, Workspace

OWN = """
from torch import nn

class Mixer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.embed = nn.Conv2d(1, width, 8, 8)
        self.mix, self.act = nn.Linear(width, width), nn.GELU()
        self.output = nn.Linear(width, 10)

    def forward(self, images):
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        if images.abs().sum() >= 0:  # depends on the data, so that it cannot be traced
            tokens = tokens + self.act(self.mix(tokens))
        return {"logits": self.output(tokens.mean(1))}["logits"]
"""
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
VIT |= {"class_token": False, "global_pool": "avg"}
ALL_LAYERS = BARE | {
    "chance": {"permutations": 19},
    "matching": {"layers": ["*"]},
    "minimal_matches": {"layers": ["*"], "epsilons": []},
}
SHORT = {"epochs": 1, "warmup_epochs": 0, "optimizer": "adamw", "learning_rate": 0.003}


def test_a_vision_transformer_against_a_network_of_ones_own(
    empty_workspace: Callable[..., Workspace],
) -> None:
    workspace = empty_workspace()
    (workspace.root / "mixer.py").write_text(OWN)
    workspace.python_path = workspace.root
    own = {"name": "mixer:Mixer", "options": {"width": 16}}
    workspace.configure(
        seeds=[0],
        network={"name": "timm:vit_tiny_patch16_224", "options": VIT},
        training=SHORT,
        models={"vit": {}, "own": {"network": own}},
        compare=[{"models": ["vit", "own"], "seeds": "same"}],
        **ALL_LAYERS,
    )
    workspace.make_tables()
    similarity = pd.read_csv(workspace.paths.experiment("tables/similarity.csv"))
    (sizes,) = similarity.groupby(["kind", "neurons_a", "neurons_b"]).groups
    assert sizes == ("tokens", 96, 16)  # the first MLP of each
    left_out = pd.read_csv(workspace.paths.experiment("tables/left_out.csv"))
    assert len(left_out) == 1  # the second MLP of the transformer
    networks = pd.read_csv(workspace.paths.experiment("tables/networks.csv"))
    assert networks["accuracy"].between(0, 1).all()
    assert networks["loss"].between(0, 3).all()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A folder of two texts that are easy to predict."""
    for name, words in {"a.txt": "one two three four ", "b.md": "five six seven eight "}.items():
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / name).write_text(words * 200)
    return tmp_path / "texts"


def test_language_models_on_texts(empty_workspace: Callable[..., Workspace], texts: Path) -> None:
    workspace = empty_workspace()
    sizes = {"n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 16}
    workspace.configure(
        data={"name": "text_folder", "root": str(texts), "tokens": 16, "test_fraction": 0.3}
        | {"test_images": None},
        network={"name": "transformers:GPT2LMHeadModel", "options": sizes},
        training={**SHORT, "task": "language_model", "epochs": 2, "batch_size": 8},
        **ALL_LAYERS,
    )
    run = workspace.snakemake()
    assert run.jobs["train"] == 2
    networks = pd.read_csv(workspace.paths.experiment("tables/networks.csv"))
    assert (networks["loss"] < 5.5).all()  # ln 256
    similarity = pd.read_csv(workspace.paths.experiment("tables/similarity.csv"))
    assert set(similarity["kind"]) == {"tokens"}
    assert Path(workspace.paths.experiment("report.html")).exists()
