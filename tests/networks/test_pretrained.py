"""Pretrained weights: published ones in torch hub's folder, and files of the user."""

import hashlib
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from torchvision.models import SqueezeNet1_1_Weights, ViT_B_16_Weights

from subspace_match.networks import pretrained as module
from subspace_match.networks.architectures import build, outline
from subspace_match.networks.checkpoints import load_network, save_network
from subspace_match.networks.preprocessing import Preprocessing
from subspace_match.networks.pretrained import load_pretrained

OURS: dict[str, Any] = {
    "name": "plain20",
    "width": 0.1,
    "hidden": [],
    "channels": 1,
    "classes": 10,
}
SQUEEZENET = OURS | {"name": "torchvision:squeezenet1_1"}  # small
PIXELS = Preprocessing((0.1,), (0.3,))
IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 256, 224, "bilinear")


def changed(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a state dict that differs from every constructor's."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(value.shape, generator=generator).to(value.dtype)
        for name, value in network.state_dict().items()
    }


def assert_holds(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    state = network.state_dict()
    assert state.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in state.items())


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return torch hub's folder of weights."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@pytest.fixture
def no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept replacements for published weights, which have another SHA-256."""
    monkeypatch.setattr(torch.hub, "HASH_REGEX", re.compile("never"))


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "DEFAULT", "SqueezeNet1_1_Weights.DEFAULT"])
@pytest.mark.usefixtures("no_hash")
def test_published_weights_come_from_torch_hubs_folder(hub: Path, weights: str) -> None:
    network = models.squeezenet1_1()
    tensors = changed(network)
    file = Path(SqueezeNet1_1_Weights.IMAGENET1K_V1.url).name
    torch.save(tensors, hub / file)
    found = load_pretrained(SQUEEZENET, weights)
    assert_holds(found.network, tensors)
    assert not found.network.training
    assert found.preprocessing == IMAGENET
    assert found.architecture == SQUEEZENET | {"classes": 1000}


def test_the_error_for_missing_published_weights_has_the_command(
    hub: Path,
) -> None:
    file = hub / "squeezenet1_1-b8a52dc0.pth"
    command = f"curl --fail --create-dirs --output {file} https://download.pytorch.org/models/"
    with pytest.raises(ValueError, match=re.escape(f"at {file}, in torch hub")) as caught:
        load_pretrained(SQUEEZENET, "IMAGENET1K_V1")
    assert command + file.name in str(caught.value)


def test_published_weights_with_another_sha256_are_refused(hub: Path) -> None:
    (hub / "squeezenet1_1-b8a52dc0.pth").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"damaged file .* does not begin with b8a52dc0"):
        load_pretrained(SQUEEZENET, "IMAGENET1K_V1")


def test_published_weights_with_their_sha256_are_accepted(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(changed(models.squeezenet1_1()), hub / "weights")
    digits = hashlib.sha256((hub / "weights").read_bytes()).hexdigest()[:8]
    (hub / "weights").rename(hub / f"weights-{digits}.pth")
    kind = SqueezeNet1_1_Weights.IMAGENET1K_V1
    monkeypatch.setattr(kind.value, "url", f"https://example.org/weights-{digits}.pth")
    assert load_pretrained(SQUEEZENET, "IMAGENET1K_V1").architecture["classes"] == 1000


def wrapped(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in tensors.items()}}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("wrap", [False, True])
def test_a_file_of_the_user_is_read(tmp_path: Path, suffix: str, wrap: bool) -> None:
    tensors, file = changed(build(**OURS)), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(wrapped(tensors)["state_dict"] if wrap else tensors, file)
    else:
        torch.save(wrapped(tensors) if wrap else tensors, file)
    found = load_pretrained(OURS, str(file), PIXELS)
    assert_holds(found.network, tensors)
    assert found.preprocessing == PIXELS
    assert found.architecture == OURS


CHECKPOINTS: dict[str, Any] = {
    "compiled": lambda t: prefixed("_orig_mod.", t),
    "parallel": lambda t: {"state_dict": prefixed("module.", t), "epoch": 3, "best": 0.9},
    "compiled, parallel": lambda t: {"model": prefixed("module._orig_mod.", t)},
    "Lightning's": lambda t: {
        "state_dict": prefixed("model.", t) | {"criterion.weight": torch.ones(3)},
        "hyper_parameters": {"lr": 0.1},
        "loops": {"fit_loop": {"state_dict": {}}},
    },
    "model_state_dict": lambda t: {"model_state_dict": t, "optimizer_state_dict": momenta(t)},
    "model_state": lambda t: {"model_state": t, "epoch": 3},
    "net": lambda t: {"net": t, "acc": 93.0, "epoch": 3},
    "two equal dictionaries": lambda t: {"model": t, "state_dict": dict(t)},
    "nested": lambda t: {"checkpoint": {"weights": t}},
    "beside other values": lambda t: t | {"epoch": 3},
}


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def momenta(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    state = {number: {"momentum_buffer": value} for number, value in enumerate(tensors.values())}
    return {"state": state, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize("ending", [".pt", ".pth.tar"])
@pytest.mark.parametrize("made_by", CHECKPOINTS)
def test_the_only_fitting_dictionary_is_used(tmp_path: Path, made_by: str, ending: str) -> None:
    tensors, file = changed(build(**OURS | {"classes": 7})), tmp_path / f"weights{ending}"
    torch.save(CHECKPOINTS[made_by](tensors), file)
    found = load_pretrained(OURS, str(file), PIXELS)
    assert_holds(found.network, tensors)
    assert found.architecture == OURS | {"classes": 7}


@pytest.mark.parametrize("ending", [".pt", ".pth", ".pth.tar", ".th", ".ckpt", ".safetensors"])
def test_files_with_every_usual_ending_are_read(tmp_path: Path, ending: str) -> None:
    tensors, file = changed(build(**OURS)), tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        save_file(prefixed("_orig_mod.", tensors), file)
    else:
        torch.save({"net": prefixed("module.", tensors)}, file)
    assert_holds(load_pretrained(OURS, str(file), PIXELS).network, tensors)


@pytest.mark.parametrize("ending", [".tar", ".bin", ".pt.bak", ".onnx"])
def test_other_endings_are_refused(tmp_path: Path, ending: str) -> None:
    torch.save(changed(build(**OURS)), tmp_path / f"weights{ending}")
    with pytest.raises(ValueError, match=r"expected a file \.safetensors, .*\.th or \.ckpt, found"):
        load_pretrained(OURS, str(tmp_path / f"weights{ending}"), PIXELS)


def test_the_error_for_two_fitting_dictionaries_lists_them(tmp_path: Path) -> None:
    tensors = changed(build(**OURS))
    mean = {name: value + 1 for name, value in tensors.items()}
    both = prefixed("model.", tensors) | prefixed("teacher.", mean)
    for content, message in (
        (
            {"state_dict": tensors, "state_dict_ema": mean},
            ": state_dict; state_dict_ema;",
        ),
        ({"state_dict": both}, r"several in .*: state_dict: model\.; state_dict: teacher\.;"),
    ):
        torch.save(content, tmp_path / "weights.ckpt")
        with pytest.raises(ValueError, match=message):
            load_pretrained(OURS, str(tmp_path / "weights.ckpt"), PIXELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "weights": {"a": torch.ones(1)}}, r"with the keys epoch, weights \(a\)$"),
        ({"a.weight": torch.ones(1)}, r"with the keys a\.weight$"),
        ({f"k{n}": n for n in range(9)}, "with the keys k0, k1, k2, k3, k4, and 4 more$"),
        ({}, "with no keys$"),
        ([torch.ones(1)], "with an object of list$"),
    ],
)
def test_the_error_lists_keys_if_nothing_fits(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "weights.th")
    with pytest.raises(ValueError, match=rf"tensors, such as conv1\.0\.weight, found .*{message}"):
        load_pretrained(OURS, str(tmp_path / "weights.th"), PIXELS)


def test_the_error_shows_the_differences_of_the_nearest_dictionary(tmp_path: Path) -> None:
    tensors = changed(build(**OURS))
    del tensors["conv3.1.bias"]
    content = {"net": prefixed("module.", tensors), "other": {"output.bias": torch.ones(3)}}
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"plain20: conv3\.1\.bias is missing$"):
        load_pretrained(OURS, str(tmp_path / "weights.pt"), PIXELS)


def test_a_dictionary_that_contains_itself_is_searched(tmp_path: Path) -> None:
    tensors: dict[str, Any] = {"net": changed(build(**OURS))}
    tensors["again"] = tensors
    torch.save(tensors, tmp_path / "weights.pt")
    assert_holds(
        load_pretrained(OURS, str(tmp_path / "weights.pt"), PIXELS).network, tensors["net"]
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_the_error_names_weights_that_are_not_finite(
    tmp_path: Path, value: float, ending: str
) -> None:
    """1e300 is finite in the file, but not in the network."""
    tensors = changed(build(**OURS))
    for name in ("conv2.0.weight", "conv5.1.running_var"):
        tensors[name] = tensors[name].double()
        tensors[name].view(-1)[0] = value
    file = tmp_path / f"weights{ending}"
    if ending == ".pt":
        torch.save({"state_dict": tensors}, file)
    else:
        save_file(tensors, file)
    named = r"conv2\.0\.weight \(1 values\), conv5\.1\.running_var \(1 values\) of"
    with pytest.raises(ValueError, match=f"NaN or infinity in {named}"):
        load_pretrained(OURS, str(file), PIXELS)


@pytest.mark.parametrize("ending", [".pt", ".pth", ".ckpt", ".safetensors"])
def test_a_git_lfs_pointer_is_recognised(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"weights{ending}"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(ValueError, match=rf"weights{re.escape(ending)}: expected the file itself"):
        load_pretrained(OURS, str(file), PIXELS)


@pytest.mark.parametrize("architecture", [OURS, SQUEEZENET])
def test_classes_follow_the_weights(tmp_path: Path, architecture: dict[str, Any]) -> None:
    tensors = changed(build(**architecture | {"classes": 7}))
    torch.save(tensors, tmp_path / "weights.pt")
    found = load_pretrained(architecture, str(tmp_path / "weights.pt"), PIXELS)
    assert found.architecture == architecture | {"classes": 7}
    assert_holds(found.network, tensors)


def test_a_file_for_a_torchvision_model_has_the_published_preprocessing(tmp_path: Path) -> None:
    torch.save(changed(build(**SQUEEZENET)), tmp_path / "weights.pt")
    assert load_pretrained(SQUEEZENET, str(tmp_path / "weights.pt")).preprocessing == IMAGENET
    assert load_pretrained(SQUEEZENET, str(tmp_path / "weights.pt"), PIXELS).preprocessing == PIXELS


def test_other_models_need_a_preprocessing(tmp_path: Path) -> None:
    torch.save(changed(build(**OURS)), tmp_path / "weights.pt")
    with pytest.raises(
        ValueError, match=r"network\.mean, network\.std: expected .* not for plain20"
    ):
        load_pretrained(OURS, str(tmp_path / "weights.pt"))


@pytest.mark.usefixtures("no_hash")
def test_a_network_of_the_user_loads_a_state_dict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Linear(3, 2))\n"
    (tmp_path / "pretrained_own.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    torch.save({"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2)}, tmp_path / "own.pt")
    architecture = OURS | {"name": "pretrained_own:make"}
    found = load_pretrained(architecture, str(tmp_path / "own.pt"), PIXELS)
    assert found.network(torch.ones(1, 3)).tolist() == [[4.0, 4.0]]
    save_network(tmp_path / "network.safetensors", found.network, found.architecture, PIXELS)
    loaded, _ = load_network(tmp_path / "network.safetensors", torch.device("cpu"))
    assert loaded(torch.ones(1, 3)).tolist() == [[4.0, 4.0]]


def test_old_names_of_densenet_are_converted(tmp_path: Path) -> None:
    architecture = OURS | {"name": "torchvision:densenet121?bn_size=1"}
    tensors = changed(build(**architecture))
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value
        for name, value in tensors.items()
    }
    assert old.keys() != tensors.keys()
    torch.save(old, tmp_path / "weights.pt")
    assert_holds(load_pretrained(architecture, str(tmp_path / "weights.pt")).network, tensors)


def test_options_of_published_weights_are_part_of_the_architecture() -> None:
    inception = module._torchvision_name(
        "inception_v3", module._builder_options("inception_v3", None)
    )
    assert outline(**OURS | {"name": inception}).transform_input
    large = module._builder_options("vit_b_16", ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1)
    network = outline(**OURS | {"name": module._torchvision_name("vit_b_16", large)})
    assert network.image_size == 384


def test_resolving_published_weights_needs_no_file() -> None:
    vit = OURS | {"name": "torchvision:vit_b_16"}
    architecture, preprocessing = module.resolve_pretrained(vit, "IMAGENET1K_SWAG_E2E_V1")
    assert preprocessing.crop == 384
    assert architecture == vit | {"name": "torchvision:vit_b_16?image_size=384"}
    assert module.resolve_pretrained(vit, "weights.pt")[1].crop == 224
    assert module.resolve_pretrained(vit, "IMAGENET1K_V1", PIXELS)[1] == PIXELS


def test_every_published_preprocessing_is_converted() -> None:
    for model in models.list_models(module=models):
        for kind in models.get_model_weights(model):
            found = module._published_preprocessing(kind)
            assert found.crop == kind.transforms().crop_size[0]
            assert Preprocessing.from_record(asdict(found)) == found


def test_the_error_for_weights_of_another_network_lists_the_differences(tmp_path: Path) -> None:
    tensors = changed(build(**OURS))
    tensors["conv2.0.weight"] = torch.zeros(2, 2, 5, 5)
    del tensors["conv3.1.bias"]
    tensors["conv99.weight"] = torch.zeros(1)
    torch.save(tensors, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"network\.weights: expected weights of") as caught:
        load_pretrained(OURS, str(tmp_path / "weights.pt"), PIXELS)
    for fault in (
        "conv2.0.weight should have shape (2, 2, 3, 3), has (2, 2, 5, 5)",
        "conv3.1.bias is missing",
        "conv99.weight is unknown",
    ):
        assert fault in str(caught.value)


def test_the_error_counts_further_differences(tmp_path: Path) -> None:
    torch.save(changed(build(**OURS | {"name": "vgg11"})), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"conv1\.0\.weight should .*; and \d+ more$"):
        load_pretrained(OURS, str(tmp_path / "weights.pt"), PIXELS)


class Payload:
    """Run code when unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def test_no_code_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Payload()}, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="other objects, such as a whole model, or is damaged"):
        load_pretrained(OURS, "weights.pt", PIXELS)
    assert not Path("ran").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_damaged_file_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    tensors = changed(build(**OURS))
    if suffix == ".pt":
        torch.save(tensors, file)
    else:
        save_file(tensors, file)
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(ValueError, match="expected a file of tensors only, found an unreadable"):
        load_pretrained(OURS, str(file), PIXELS)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"state_dict": 3}, torch.zeros(2), {}])
def test_content_without_a_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=r"network\.weights: expected"):
        load_pretrained(OURS, str(tmp_path / "weights.pt"), PIXELS)


@pytest.mark.parametrize(
    ("architecture", "weights", "message"),
    [
        (SQUEEZENET, "IMAGENET1K_V9", "expected one of IMAGENET1K_V1, DEFAULT, or a file .safet"),
        (
            OURS,
            "IMAGENET1K_V1",
            r"expected a file \.safetensors, .* or \.ckpt, found 'IMAGENET",
        ),
        (OURS, "elsewhere.pt", "expected a file, found none at elsewhere.pt"),
    ],
)
def test_missing_weights_are_refused(
    architecture: dict[str, Any], weights: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_pretrained(architecture, weights, PIXELS)
