"""The command as a person calls it."""

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
import zarr

import subspace_match as sm
from subspace_match.cli import main

RNG = np.random.default_rng(0)
X = np.maximum(RNG.normal(size=(300, 12)), 0).astype(np.float32)
Y = np.hstack([X[:, :6] @ RNG.normal(size=(6, 6)), RNG.random((300, 4))]).astype(np.float32)
PATH = sm.match_path(sm.reduce(X, Y))


def write(folder: Path, kind: str) -> tuple[str, str]:
    """Both layers in one file each, or two in one."""
    a, b = folder / f"a{kind}", folder / f"b{kind}"
    if kind == ".npy":
        np.save(a, X)
        np.save(b, Y)
    elif kind == ".pt":
        torch.save(torch.from_numpy(X), a)
        torch.save({"layer": torch.from_numpy(Y)}, b)
    elif kind == ".npz":
        np.savez(a, first=X, second=Y)
        return f"{a}:first", f"{a}:second"
    elif kind == ".safetensors":
        safetensors.numpy.save_file({"first": X, "second": Y}, a)
        return f"{a}:first", f"{a}:second"
    else:
        zarr.create_array(a, data=X)
        zarr.create_group(b).create_array("layer", data=Y)
    return str(a), str(b)


@pytest.mark.parametrize("kind", [".npy", ".npz", ".pt", ".safetensors", ".zarr"])
def test_every_format_gives_the_same_table(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*write(tmp_path, kind), "--epsilon", "0.1", "0.6"]) == 0
    printed = capsys.readouterr().out
    for epsilon in (0.1, 0.6):
        match = PATH.maximum_match(epsilon)
        row = rf"{epsilon:g} .* {len(match.x)} .* {len(match.y)} .* {PATH.similarity(epsilon):.1%}"
        assert re.search(row, printed)


def test_everything_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    a, b = write(tmp_path, ".npy")
    out = tmp_path / "out"
    options = ["--epsilon", "0.1", "0.6", "--minimal", "--null", "19", "--out", str(out)]
    assert main([a, b, *options]) == 0
    table = pd.read_parquet(out / "similarity.parquet")
    assert table["similarity"].tolist() == PATH.similarity([0.1, 0.6]).tolist()
    assert table["p_value"].iloc[0] == 1 / 20
    summary = json.loads((out / "similarity.json").read_text())
    assert summary["similarity"] == table["similarity"].tolist()
    neurons = pd.read_parquet(out / "neurons.parquet")
    critical = np.concatenate([PATH.critical_epsilon_x, PATH.critical_epsilon_y])
    np.testing.assert_array_equal(neurons["critical_epsilon"], critical)
    minimal = pd.read_parquet(out / "minimal_matches.parquet")
    expected = sm.minimal_matches(PATH, 0.1)
    sizes = minimal.loc[minimal["epsilon"] == 0.1, ["size_a", "size_b"]].sum(axis=1)
    assert sorted(sizes) == sorted(expected.sizes[expected.sizes > 0])
    assert {file.suffix for file in out.iterdir()} == {".parquet", ".json", ".svg", ".png"}


def test_without_permutations_nothing_is_said_of_chance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*write(tmp_path, ".npy"), "--out", str(tmp_path / "out")]) == 0
    assert "chance" not in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "similarity.json").read_text())["p_value"] == [None] * 5


def test_dead_neurons_and_few_samples_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = X[:40].copy()
    x[:, 2] = 0
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", Y[:40])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once, below the table
        assert main([str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]) == 0
    printed = capsys.readouterr().out
    assert "1 in A, 0 in B" in printed
    assert "0.30 neurons a sample" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{a}", "missing.npy"], "missing.npy: expected a file"),
        (["{a}", "{b}", "--epsilon", "1.5"], "epsilon: expected a number in [0, 1), found 1.5"),
        (["{a}", "{b}", "--null", "-1"], "--null: expected a number of permutations"),
        (["{a}", "{short}"], "expected the same samples in both, found 300 in x and 299 in y"),
        (["{a}", "{text}"], "expected .npy, .npz, .pt, .safetensors or a Zarr array"),
        (["{a}", "{two}"], "expected the name of one of its arrays"),
        (["{a}", "{two}:third"], "found third; its arrays are first, second"),
        (["{a}", "{broken}"], "found what cannot be read"),
        (["{a}", "{pickle}"], "found what cannot be read"),
        (["{a}", "{b}", "--device", "quantum"], "device: expected 'cpu', 'cuda' or 'auto'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write(tmp_path, ".npy")
    files = {name: tmp_path / name for name in ("short.npy", "notes.txt", "two.npz", "broken.npy")}
    np.save(files["short.npy"], Y[:-1])
    files["notes.txt"].write_text("nothing")
    np.savez(files["two.npz"], first=X, second=Y)
    files["broken.npy"].write_bytes(Path(b).read_bytes()[:50])
    pickle = tmp_path / "object.pt"
    torch.save({"x": Path("anything")}, pickle)
    names = {"a": a, "b": b, "short": files["short.npy"], "text": files["notes.txt"]}
    names |= {"two": files["two.npz"], "broken": files["broken.npy"], "pickle": pickle}
    assert main([argument.format(**names) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("subspace-match: error: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_help_has_an_example() -> None:
    command = [sys.executable, "-m", "subspace_match.cli", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "subspace-match a.npy b.npy --epsilon" in result.stdout
