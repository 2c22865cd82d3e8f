"""``subspace-match compare`` on small models and images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from subspace_match.cli import main
from subspace_match.data.prepared import FileSplit
from subspace_match.networks.architectures import build
from subspace_match.networks.checkpoints import save_network
from subspace_match.networks.images import Images
from subspace_match.networks.preprocessing import Preprocessing

COUNT, SIZE = 24, 12
PREPROCESSING = Preprocessing((0.5,) * 3, (0.25,) * 3, SIZE, SIZE)


def small() -> nn.Module:
    """Build a network as the user's own code does."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 5), nn.ReLU())


class Mixed(nn.Module):
    """Has a part that no file of weights holds."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.out = torch.randn(432, 4), nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.out(images.flatten(1) @ self.mix).relu()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        file = folder / ("cats" if number % 2 else "dogs") / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (SIZE + number % 5, 2 * SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    (folder / "notes.txt").write_text("no image")
    (folder / "no_image.png").mkdir()
    return folder


def checkpoint(path: Path, seed: int) -> str:
    architecture = {"name": "test_command:small", "width": 1.0, "hidden": [], "channels": 3}
    torch.manual_seed(seed)
    network = build(**architecture, classes=5)
    save_network(path, network, architecture | {"classes": 5}, PREPROCESSING)
    return str(path)


def test_checkpoints_are_compared_and_files_written(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (checkpoint(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1))
    out, page = tmp_path / "out", tmp_path / "page.html"
    options = ("--data", str(photos), "--null", "19", "--out", str(out), "--page", str(page))
    assert main(["compare", a, b, *options, "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "conv1 conv" in printed
    assert "fc1   fc" in printed
    assert "p_value" in printed
    first, chance, labels, *_, where, files = printed.splitlines()[-6:]
    assert first.startswith("Similarity: At epsilon 0.3 the two networks share ")
    assert chance.startswith("Chance: ")
    assert labels == "Labels:     2 classes, the folders cats, dogs"
    assert (where.split()[1], str(out) in files) == (str(page), True)
    table = pd.read_parquet(out / "tables" / "similarity.parquet")
    # 24 images of 12 x 12, 10 x 10 positions behind the convolution.
    samples = dict(zip(table["layer"], table["samples"], strict=True))
    assert samples == {"conv1": 24 * 100, "fc1": 24}
    assert {file.name for file in out.iterdir()} == {
        *("tables", "figures", "config.json", "matches.npz", "moments.npz", "nulls.npz")
    }
    assert page.read_text().startswith("<!doctype html>")


def test_images_outside_of_folders_have_no_classes(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With classes, the command knows them beforehand, so that groups hold several of each."""
    a, b = (checkpoint(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1))
    options = ("--null", "19", "--positions", "400", "--device", "cpu")

    def labels_of(folder: Path) -> str:
        assert main(["compare", a, b, "--data", str(folder), *options]) == 0
        printed = capsys.readouterr().out
        (line,) = (line for line in printed.splitlines() if line.startswith("Labels:"))
        assert ("class_p_value" in printed) == ("none" not in line)
        return line.removeprefix("Labels:").strip()

    assert labels_of(photos / "cats") == "none: no image is in a folder of a class"
    many, images = tmp_path / "many", sorted(photos.glob("*/*.png"))
    for number in range(200):
        file = many / "test" / f"class {number % 40}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(images[number % COUNT], file)
    folders = ", ".join(f"class {number}" for number in (0, 1, 10, 11, 12))
    assert labels_of(many) == f"40 classes, the folders {folders}, and 35 more"
    shutil.copy(images[0], many / "cover.png")
    assert labels_of(many) == "none: 1 of 201 images in no folder of a class (cover.png)"
    one = tmp_path / "one"
    shutil.copytree(photos / "cats", one / "cats")
    assert labels_of(one) == "none: all images are in one folder, cats"


def test_folders_of_other_programs_are_no_classes_and_links_are_followed(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (checkpoint(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1))

    def printed(folder: Path) -> str:
        options = ("--null", "19", "--device", "cpu", "--data", str(folder))
        assert main(["compare", a, b, *options]) == 0
        return capsys.readouterr().out

    expected = printed(photos)
    copied, linked = tmp_path / "copied", tmp_path / "linked"
    shutil.copytree(photos, copied)
    for hidden in (copied / ".thumbs", copied / "cats" / ".ipynb_checkpoints"):
        hidden.mkdir()
        shutil.copy(next(photos.glob("cats/*.png")), hidden)
    assert printed(copied) == expected
    linked.mkdir()
    for folder in photos.iterdir():
        (linked / folder.name).symlink_to(folder)
    (linked / "back").symlink_to(linked)
    assert printed(linked) == expected


def test_each_image_in_a_folder_of_its_own_is_no_class(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (checkpoint(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1))
    for number, file in enumerate(sorted(photos.glob("*/*.png"))):
        (tmp_path / "own" / str(number)).mkdir(parents=True)
        shutil.copy(file, tmp_path / "own" / str(number))
    assert main(["compare", a, b, "--null", "19", "--data", str(tmp_path / "own")]) == 0
    assert "none: each image is in a folder of its own\n" in capsys.readouterr().out


def saved(make: Callable[[], nn.Module], folder: Path) -> str:
    """Save the weights of a new network, and return the file."""
    torch.manual_seed(0)
    file = folder / "mine.pt"
    torch.save(make().state_dict(), file)
    return str(file)


def test_a_model_is_compared_with_weights_of_a_file(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = saved(small, tmp_path)
    name = "test_command:small"
    options = ("--data", str(photos), "--size", "12", "--device", "cpu", "--epsilon", "0.01")
    models = (name, name, "--weights-a", weights, "--weights-b", weights)
    assert main(["compare", *models, *options]) == 0
    assert similarity_of("conv1", capsys.readouterr().out) == 1
    untrained = (name, name, "--weights-a", weights, "--weights-b", "untrained")
    assert main(["compare", *untrained, *options]) == 0
    assert similarity_of("conv1", capsys.readouterr().out) == 0
    both = (name, name, "--weights-a", "untrained", "--weights-b", "untrained", "--nodes", "[14]")
    assert main(["compare", *both, *options]) == 0
    assert similarity_of("conv1", capsys.readouterr().out) == 0


def similarity_of(layer: str, printed: str) -> float:
    """Return the similarity in a layer's row of the table."""
    (row,) = (line.split() for line in printed.splitlines() if line.split()[:1] == [layer])
    return float(row[5])


def test_what_would_fail_after_the_work_is_refused_before_a_model_is_loaded(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("subspace_match.cli.compare._model", load)
    (tmp_path / "file").touch()
    (tmp_path / "locked").mkdir()
    # Root may write everywhere, whatever the mode.
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "locked")
    file, folder, locked = (str(tmp_path / name) for name in ("file", "", "locked"))
    for arguments, message in (
        (("--epsilon", "1.5"), "epsilon: expected a number in [0, 1), found 1.5"),
        (("--positions", "0"), "--positions: expected a whole number of at least 1, found 0"),
        (("--null", "20"), "--null: expected 0 or one less than a multiple of 20"),
        (("--batch", "0"), "--batch: expected a whole number of at least 1"),
        (("--seed", "-1"), "--seed: expected a whole number of at least 0"),
        (("--seed", str(2**70)), f"--seed: expected at most {2**32 - 1}, found"),
        (("--mean", "0.5"), "--mean, --std: expected --size too"),
        (("--size", "0"), "--size: expected a whole number of at least 1, found 0"),
        (
            ("--size", "9", "--mean", "123", "116", "103"),
            "--mean: expected three numbers from 0 to",
        ),
        (
            ("--size", "9", "--mean", "nan", "1", "1"),
            "(divide by 255 what was meant for bytes), fo",
        ),
        (
            ("--size", "9", "--mean", "0.5", "0.5"),
            "--mean: expected three numbers from 0 to 1, or on",
        ),
        (("--size", "9", "--mean", "0.5"), "--std: expected one number above 0"),
        (("--size", "9", "--std", "58", "57", "57"), "--std: expected three numbers above 0, at m"),
        (("--size", "9", "--std", "inf", "1", "1"), "found [inf, 1.0, 1.0]"),
        (("--size", "9", "--std", "0", "1", "1"), "found [0.0, 1.0, 1.0]"),
        (("--device", "quantum"), "device: expected 'cpu', 'cuda' or 'auto'"),
        (("--data", locked), f"found a folder without any: {locked}"),
        (("--data", "nowhere"), "found no folder: nowhere"),
        (("--out", file), f"--out: expected a folder to write to, found a file: {file}"),
        (
            ("--out", f"{locked}/new"),
            "--out: expected a folder to write to, found a folder without",
        ),
        (("--page", folder), "--page: expected the name of a file to write, found a folder"),
        (("--page", f"{locked}/a.html"), "--page: expected a folder to write to, found a folder w"),
        (("--out", str(photos / "new")), "--out: expected a folder outside of --data"),
        (("--data", f"{photos}/figures", "--out", str(photos)), "a folder outside of --data"),
        (("--out", f"{folder}/new", "--page", f"{folder}/new"), "--page: expected another place"),
    ):
        assert main(["compare", "a:b", "a:b", "--data", str(photos), *arguments]) == 2
        assert message in capsys.readouterr().err


def test_bad_input_is_one_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, own = "test_command:small", ("--weights-a", "untrained", "--weights-b", "untrained")
    data = ("--data", str(photos))
    for arguments, message in (
        ((name, name, *own, *data), "expected --size for a model whose images' size is not known"),
        ((name, name, *data, "--size", "12"), f"--weights-a: expected published weights of {name}"),
        ((name, name, *data, "--size", "12"), "; or draw new weights with --weights-a untrained"),
        ((name, name, *own, "--weights-b", "x.pt", *data, "--size", "12"), "--weights-b: expected"),
        ((name, "vgg", *own, *data, "--size", "12"), "vgg: expected torchvision:NAME"),
        ((name, name, *own, *data, "--size", "12", "--layers", "conv9"), "layers: expected"),
    ):
        assert main(["compare", *arguments, "--device", "cpu"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_weights_that_are_not_the_whole_network_are_refused(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, weights = "test_command:Mixed", str(tmp_path / "weights.pt")
    torch.save(Mixed().state_dict(), weights)
    files = ("--weights-a", weights, "--weights-b", weights)
    arguments = (name, name, *files, "--data", str(photos), "--size", "12", "--device", "cpu")
    assert main(["compare", *arguments]) == 2
    assert "only these are saved, found other values" in capsys.readouterr().err


def grey() -> nn.Module:
    """Build a network of one channel."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())


def test_networks_of_one_channel_get_images_in_grey(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = saved(grey, tmp_path)
    name = "test_command:grey"
    one = ("--size", "12", "--mean", "0.5", "--std", "0.25")
    options = ("--data", str(photos), *one, "--device", "cpu")
    models = (name, name, "--weights-a", weights, "--weights-b", weights)
    assert main(["compare", *models, *options]) == 0
    assert similarity_of("conv1", capsys.readouterr().out) == 1
    in_colour = ("--data", str(photos), "--size", "12", "--device", "cpu")
    assert main(["compare", *models, *in_colour]) == 2
    assert "or grey ones by one number for --mean and --std" in capsys.readouterr().err
    split = FileSplit(("dogs/0.png",), np.zeros(1, np.int64), np.arange(1), photos, channels=1)
    images = Images.on_device(split, Preprocessing((0,), (1,), 12, 12), torch.device("cpu"))
    ((batch, _),) = images.batches(1)
    with Image.open(photos / "dogs" / "0.png") as image:
        expected = np.asarray(image.convert("L"))[:, 6:18] / 255
    np.testing.assert_allclose(batch[0, 0], expected, atol=1e-6)


def test_a_network_trained_on_grey_images_of_one_size_needs_a_size(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    architecture = {"name": "vgg11", "width": 0.1, "hidden": [8], "channels": 1, "classes": 3}
    file = str(tmp_path / "last.safetensors")
    save_network(file, build(**architecture), architecture, Preprocessing((0.4,), (0.25,)))
    arguments = ("compare", file, file, "--data", str(photos), "--device", "cpu")
    assert main([*arguments]) == 2
    assert "--size: expected the height and width of the images for" in capsys.readouterr().err
    assert main([*arguments, "--size", "32", "--mean", "0.4", "--std", "0.25"]) == 0
    assert similarity_of("conv1", capsys.readouterr().out) == 1
