"""``subspace-match layers`` lists what a network computes, and which nodes are layers."""

from pathlib import Path

import pytest

from subspace_match.cli import main
from subspace_match.networks.architectures import build
from subspace_match.networks.checkpoints import save_network
from subspace_match.networks.preprocessing import Preprocessing

CROPPING = Preprocessing((0.5,), (0.2,), resize=24, crop=20)

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.maps = nn.Conv2d(3, width, 3)

    def forward(self, images):
        maps = self.maps(images).sigmoid()
        return maps.flatten(2) @ maps.flatten(2).mT
"""


def listed(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> tuple[dict[str, str], str]:
    """Return each node's line without its name, and what follows the table, with an error."""
    assert main(["layers", *arguments]) == code
    shown = capsys.readouterr()
    lines = (shown.out + shown.err).splitlines()
    end = next(n for n, line in enumerate(lines) if line.startswith("layers are "))
    rows = dict(line.split(maxsplit=1) for line in lines[1:end])
    return {node: " ".join(row.split()) for node, row in rows.items()}, "\n".join(lines[end:])


def test_each_node_has_its_shape_axis_patterns_and_layer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows, notes = listed(capsys, "resnet20", "--channels", "1", "--nodes", "block")
    assert rows["stem.0"] == "(N, 16, 32, 32) axis 1 convolution"
    assert rows["stage1.0.relu"] == "(N, 16, 32, 32) axis 1 relu, activation"
    assert rows["stage3.2"] == "(N, 64, 8, 8) axis 1 block block9"
    assert rows["output"] == "(N, 1000) axis 1"
    assert notes.endswith("9 layers with --nodes block")


def test_a_network_of_tokens_sees_a_text(capsys: pytest.CaptureFixture[str]) -> None:
    options = [f"--option={size}" for size in ("n_layer=1", "n_embd=16", "n_head=2")]
    rows, notes = listed(capsys, "transformers:GPT2Model", "--tokens", "9", *options)
    assert rows["h.0.mlp.act"] == "(N, 9, 64) axis 2 activation mlp1"
    assert rows["h.0"] == "(N, 9, 16) axis 2 block"
    assert "reached by hooks on modules, because torch.fx cannot trace it" in notes


def test_nodes_are_listed_even_if_none_can_be_a_layer(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "listed_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    given = ["listed_net:Net", "--size", "8", "--option", "width=5"]
    rows, notes = listed(capsys, *given, "--nodes", "matmul", code=2)
    assert rows["maps"] == "(N, 5, 6, 6) axis 1 convolution"
    assert rows["matmul"] == "(N, 5, 5) ?"
    assert "expected layers whose axis of neurons is certain, found (2, 5, 5)" in notes
    _, notes = listed(capsys, *given, "--nodes", "relu", code=2)
    assert "network: expected at least one ReLU, found none" in notes


def test_a_file_says_what_its_network_sees(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    architecture = {"name": "resnet20", "width": 0.25, "hidden": [], "channels": 1, "classes": 5}
    file = tmp_path / "last.safetensors"
    for preprocessing, size in ((Preprocessing((0.5,), (0.2,)), 32), (CROPPING, 20)):
        save_network(file, build(**architecture), architecture, preprocessing)
        rows, _ = listed(capsys, str(file))
        assert rows["stem.0"].startswith(f"(N, 4, {size}, {size}) axis 1")
    assert main(["layers", str(file), "--option", "width=5"]) == 2
    assert "--option: expected none for a file, found 'width=5'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet20", "--size", "0"], "--size: expected a number of at least 1, found 0"),
        (["resnet20", "--option", "width"], "--option: expected KEY=VALUE, found 'width'"),
        (["resnet21"], "found 'resnet21'; the nearest known name is 'resnet"),
        (["resnet20", "--tokens", "4"], "network: expected one that accepts a tensor (2, 4)"),
        (["resnet20", "--tokens", "4"], "; --channels, --size and --tokens decide its input"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
