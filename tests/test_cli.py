"""The command line as a user calls it."""

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
import yaml
import zarr
from numba.core import event

import subspace_match as sm
from subspace_match.cli import main
from subspace_match.cli.match_output import neuron_words
from subspace_match.storage import archives

RNG = np.random.default_rng(0)
X = np.maximum(RNG.normal(size=(300, 12)), 0).astype(np.float32)
Y = np.hstack([X[:, :6] @ RNG.normal(size=(6, 6)), RNG.random((300, 4))]).astype(np.float32)
PATH = sm.match_path(sm.reduce(X, Y))


def write(folder: Path, kind: str) -> tuple[str, str]:
    """Write both layers, each to its own file."""
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


def test_out_writes_all_tables_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write(tmp_path, ".npy")
    out = tmp_path / "out"
    options = ["--epsilon", "0.1", "0.6", "--minimal", "--null", "19", "--out", str(out)]
    assert main([a, b, *options]) == 0
    table = pd.read_parquet(out / "similarity.parquet")
    assert table["similarity"].tolist() == PATH.similarity([0.1, 0.6]).tolist()
    assert table["p_value"].iloc[0] == 1 / 20
    # The printed table, which needs no pandas, shows what is written.
    printed = capsys.readouterr().out.splitlines()
    for line, row in zip(printed[2:4], table.itertuples(), strict=True):
        cells = [f"{row.epsilon:g}", row.matched_a, row.matched_b, f"{row.similarity:.1%}"]
        cells += [f"{row.null_threshold:.1%}", f"{row.p_value:.3g}", f"{row.margin:.1e}"]
        assert line.split()[:7] == [str(cell) for cell in cells]
    for line, epsilon in zip(printed[4:], (0.1, 0.6), strict=True):
        match = PATH.maximum_match(epsilon)
        words = f"neurons at {epsilon:g}: A {neuron_words(match.x)}; B {neuron_words(match.y)}"
        assert line == words
    summary = json.loads((out / "similarity.json").read_text())
    assert summary["similarity"] == table["similarity"].tolist()
    neurons = pd.read_parquet(out / "neurons.parquet")
    critical = np.concatenate([PATH.critical_epsilon_x, PATH.critical_epsilon_y])
    np.testing.assert_array_equal(neurons["critical_epsilon"], critical)
    minimal = pd.read_parquet(out / "minimal_matches.parquet")
    expected = sm.minimal_matches(PATH, 0.1)
    sizes = minimal.loc[minimal["epsilon"] == 0.1, ["size_a", "size_b"]].sum(axis=1)
    assert sorted(sizes) == sorted(expected.sizes[expected.sizes > 0])
    # Column "match" refers to the rows of the table of members.
    members = pd.read_parquet(out / "minimal_match_members.parquet")
    assert len(minimal)
    for row in minimal.itertuples():
        same = members[(members["epsilon"] == row.epsilon) & (members["match"] == row.match)]
        (match,) = same.to_dict("records")
        assert (len(match["neurons_a"]), len(match["neurons_b"])) == (row.size_a, row.size_b)
        assert row.neuron in match[f"neurons_{row.network}"]
    assert {file.suffix for file in out.iterdir()} == {".parquet", ".json", ".svg", ".png"}
    # A second match in the same folder leaves no table of the first one, and the user's own files.
    (out / "minimal_matches.txt").touch()
    assert main([a, b, "--out", str(out)]) == 0
    assert {file.name for file in out.glob("minimal_*")} == {"minimal_matches.txt"}
    assert len(list(out.glob("*.parquet"))) == 2


def test_without_null_no_null_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*write(tmp_path, ".npy"), "--out", str(tmp_path / "out")]) == 0
    assert "null 5%" not in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "similarity.json").read_text())["p_value"] == [None] * 5


def test_dead_neurons_and_few_samples_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = X[:40].copy()
    x[:, 2] = 0
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", Y[:40])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the printed table reports it, so no warning is raised
        assert main([str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]) == 0
    printed = capsys.readouterr().out
    assert "1 in A, 0 in B" in printed
    assert "0.30 neurons per sample" in printed


def test_layers_of_dead_neurons_only_are_written(tmp_path: Path) -> None:
    """Without decisions the margin is infinite, which JSON cannot hold."""
    a, b = write(tmp_path, ".npy")
    np.save(a, np.zeros_like(X))
    np.save(b, np.zeros_like(Y))
    assert main([a, b, "--minimal", "--out", str(tmp_path / "out")]) == 0
    summary = json.loads((tmp_path / "out" / "similarity.json").read_text())
    assert (summary["similarity"], summary["margin"]) == ([0.0] * 5, [None] * 5)
    assert (tmp_path / "out" / "similarity_by_epsilon.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{a}", "missing.npy"], "missing.npy: expected a file"),
        (["{a}", "{b}", "--epsilon", "1.5"], "epsilon: expected a number in [0, 1), found 1.5"),
        (["{a}", "{b}", "--null", "-1"], "--null: expected 0 or one less than a multiple of 20"),
        (["{a}", "{b}", "--null", "200"], "and the null's threshold agree, found 200; use 199"),
        (["{a}", "{b}", "--seed", "-1"], "--seed: expected a whole number >= 0, found -1"),
        (
            ["{a}", "{torch}:number"],
            "b: expected two dimensions (samples, neurons), found shape ()",
        ),
        (["{torch}:sparse", "{b}"], "a: expected a dense array, found a sparse one"),
        (["{a}", "{short}"], "expected the same samples in both, found 300 in x and 299 in y"),
        (["{a}", "{text}"], "expected .npy, .npz, .pt, .safetensors or a Zarr array"),
        (["{a}", "{text}"], "; numpy.save writes an array as .npy"),
        (["{a}", "{two}"], "expected the name of one of its arrays"),
        (["{a}:x", "{b}"], "a.npy: expected no name for a file of one array, found 'x'; give "),
        (["{a}", "{two}:third"], "found third; its arrays are first, second"),
        (["{a}", "{broken}"], "found an unreadable one"),
        (["{a}", "{pickle}"], "found an unreadable one"),
        (["{a}", "{b}", "--device", "quantum"], "device: expected 'cpu', 'cuda' or 'auto'"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(
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
    saved = tmp_path / "saved.pt"
    torch.save({"number": 3, "sparse": torch.from_numpy(X).to_sparse()}, saved)
    names = {"a": a, "b": b, "short": files["short.npy"], "text": files["notes.txt"]}
    names |= {"two": files["two.npz"], "broken": files["broken.npy"], "pickle": pickle}
    names |= {"torch": saved}
    assert main([argument.format(**names) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("subspace-match: error: ")
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("mtach a.npy b.npy", "found 'mtach' (did you mean match?); the commands are match, layer"),
        ("compre a b", "found 'compre' (did you mean compare?)"),
        ("xyz", "expected a command or the file of an array, found 'xyz'; the commands are match"),
        ("a.npy b.npy --epsilom 0.3", "match: error: unrecognized arguments: --epsilom (did you"),
        ("--epsilom=0.3 a.npy b.npy", "--epsilom=0.3 (did you mean --epsilon?)"),
        ("report run --outt x.html", "report: error: unrecognized arguments: --outt (did you mean"),
        ("a.npy b.npy c.npy", "match: error: unrecognized arguments: c.npy\n"),
    ],
)
def test_a_misspelt_command_or_option_is_answered_with_the_nearest(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_check_prints_what_a_configuration_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/config.yaml").write_text("seeds: [0, 1]\n")
    assert main(["check"]) == 0
    said = capsys.readouterr().out
    assert said == "# config/config.yaml: a valid configuration of defaults alone\n"
    Path("a.yaml").write_text("seeds: [5]\ntraining: {epochs: 2, momentum: 0.9}\n")
    Path("b.yaml").write_text("training: {epochs: 3}\n")
    assert main(["check", "a.yaml", "b.yaml"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"seeds": [5], "training": {"epochs": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {name: cifar10\nroot: [x\n", "mine.yaml: line 2: while parsing a flow mapping, "),
        ("seeds: [1\n", "mine.yaml: line 2: while parsing a flow sequence, "),
        ("data:\n\tname: x\n", "mine.yaml: line 2: while scanning for the next token, found"),
        ("seed: [1]", "config: unknown key 'seed'; the nearest known key is 'seeds'"),
        (None, "mine.yaml: expected a configuration file, found none of that name"),
    ],
)
def test_check_names_the_file_and_the_line_of_a_fault(
    text: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("mine.yaml").write_text(text)
    assert main(["check", "mine.yaml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"subspace-match: error: {message}")
    assert len(error.splitlines()) == 1


def test_a_file_whose_name_is_one_word_is_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, layer in (("mtach", X), ("b", Y)):
        zarr.create_array(name, data=layer)
    assert main(["mtach", "b", "--epsilon", "0.1"]) == 0
    assert "0.1" in capsys.readouterr().out


def test_the_first_compilation_is_announced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Compilation is one of numba's events; loading compiled code is none."""
    importlib.import_module("subspace_match.matching.jit")
    (says,) = event._registered["numba:compile"]
    monkeypatch.setattr(says, "has_said", False)
    for module, said in (
        ("users.module", 0),
        ("subspace_match.matching.x", 1),
        ("subspace_match", 0),
    ):
        function = SimpleNamespace(py_func=SimpleNamespace(__module__=module))
        caplog.clear()
        with (
            caplog.at_level("INFO", "subspace_match"),
            event.trigger_event("numba:compile", data={"dispatcher": function}),
        ):
            assert caplog.text.count("compiling, which takes up to a minute; ") == said


OFFSET = np.random.default_rng(1).normal(size=(2, 1500, 10)) + 3


def offset(folder: Path) -> list[str]:
    """Write two independent layers whose neurons all have a mean of 3."""
    for name, side in zip("ab", OFFSET, strict=True):
        np.save(folder / f"{name}.npy", side)
    return [str(folder / "a.npy"), str(folder / "b.npy")]


@pytest.mark.parametrize("null", [[], ["--null", "19"]])
def test_a_match_due_to_shared_means_gives_a_warning(
    null: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*offset(tmp_path), "--epsilon", "0.2", "0.5", *null]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "with B's samples permuted, the similarity is still 100.0% (observed: 100.0%) at 0.5;"
        in printed
    )
    assert "or --centre" in printed
    assert ("null 5%" in printed) == bool(null)


def test_centre_removes_shared_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    options = ["--epsilon", "0.2", "0.5", "--centre", "--out", str(out)]
    assert main([*offset(tmp_path), *options]) == 0
    assert "warning" not in capsys.readouterr().out
    assert json.loads((out / "similarity.json").read_text())["similarity"] == [0, 0]


def test_a_genuine_match_gives_no_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(2).normal(size=(1500, 10))
    np.save(tmp_path / "a.npy", x)
    np.save(tmp_path / "b.npy", x @ np.random.default_rng(3).normal(size=(10, 10)))
    assert main([str(tmp_path / "a.npy"), str(tmp_path / "b.npy")]) == 0
    printed = capsys.readouterr().out
    assert "100.0%" in printed
    assert "warning" not in printed


def test_the_help_explains_every_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--null", "19", "--minimal", "--epsilon", "0.6"]
    assert main([*write(tmp_path, ".npy"), *options]) == 0
    heads = re.split(r"\s{2,}", capsys.readouterr().out.splitlines()[1].strip())
    assert heads[-1] == "median minimal"
    with pytest.raises(SystemExit):
        main(["match", "--help"])
    explained = " ".join(line[:20] for line in capsys.readouterr().out.splitlines())
    for head in heads[1:]:
        assert head in explained


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(
    terminal: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    options = ["--null", "19", "--minimal", "--epsilon", "0.6"]
    assert main([*write(tmp_path, ".npy"), *options]) == 0
    shown = capsys.readouterr()
    for work in ("samples: ", "match and permutations: ", "minimal matches at 0.6: "):
        assert (work in shown.err) == terminal
    assert (" left" in shown.err) == terminal
    assert "19/19" not in shown.out
    assert terminal or not shown.err


def member(name: str, **header: object) -> tuple[str, bytes]:
    """Return an .npz member with a custom header and 80 bytes of data."""
    stream = io.BytesIO()
    about = {"descr": "<f8", "fortran_order": False, "shape": (10,)} | header
    np.lib.format.write_array_header_1_0(stream, about)
    return f"{name}.npy", stream.getvalue() + bytes(80)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line with which the command rejects its input."""
    capsys.readouterr()
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("subspace-match: error: ")
    assert len(error.strip().splitlines()) == 1
    return error


def test_an_object_array_does_not_block_the_other_arrays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, names=np.array([None, {}], dtype=object), first=X, second=Y)
    assert main([f"{file}:first", f"{file}:second"]) == 0
    assert "a.npz:names: expected .npy" in refused([f"{file}:names", f"{file}:first"], capsys)


def test_names_of_files_and_of_arrays_may_contain_colons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (tmp_path / "a.npz", tmp_path / "a.npz:b.npz", tmp_path / "c:d.npz"):
        np.savez(file, **{"first": X, "of:two": Y, "b.npz:first": Y})
        for name in ("first", "of:two"):
            assert main([f"{file}:{name}", f"{file}:first", "--epsilon", "0.6"]) == 0
            width = (X if name == "first" else Y).shape[1]
            assert capsys.readouterr().out.startswith(f"{width} + {X.shape[1]} neurons")
        assert f"{file}: expected the name of" in refused([f"{file}:x", f"{file}:first"], capsys)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("terabytes", member("terabytes", shape=(10**12, 1)), "Unable to allocate"),
        ("header", ("header.npy", b"\x93NUMPY\1\0\4\0what"), "found an unreadable one"),
        ("magic", ("magic.npy", b"no array"), "found an unreadable one"),
        ("negative", member("negative", shape=(-1, 3)), "found an unreadable one"),
        ("shape", member("shape", shape=("a",)), "found an unreadable one"),
        ("descr", member("descr", descr="what"), "found an unreadable one"),
        ("objects", member("objects", descr="|O"), "Object arrays cannot be loaded"),
        ("short", member("short", shape=(11,)), "found an unreadable one"),
        ("huge", member("huge", shape=(10**30,)), "found an unreadable one"),
    ],
)
def test_a_malformed_npz_gives_one_line(
    name: str,
    content: tuple[str, bytes],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, good=X)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(*content)
    assert message in refused([f"{file}:{name}", f"{file}:good"], capsys)
    # The same content in an .npy file.
    alone = tmp_path / "a.npy"
    alone.write_bytes(content[1])
    assert "a.npy: expected" in refused([str(alone), f"{file}:good"], capsys)
    assert main([f"{file}:good", f"{file}:good"]) == 0


@pytest.mark.parametrize("kind", [".npz", ".pt"])
def test_a_zip_bomb_is_not_unpacked(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 MB of zeros take 100 kB in the archive; the memory has 50 MB."""
    a, b = write(tmp_path, ".npy")
    bomb = tmp_path / f"bomb{kind}"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.npy", bytes(10**8))
    memory = {"SC_PHYS_PAGES": 5 * 10**7, "SC_PAGE_SIZE": 1}
    monkeypatch.setattr(archives.os, "sysconf", memory.__getitem__)
    error = refused([f"{bomb}:zeros" if kind == ".npz" else str(bomb), b], capsys)
    assert f"bomb{kind}: expected an array that fits in memory (0.05 GB), found 0.1 GB" in error
    assert main([a, b]) == 0


@pytest.mark.parametrize("kind", [".npy", ".safetensors", ".pt", ".npz"])
def test_a_git_lfs_pointer_is_named_as_such(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, b = write(tmp_path, ".npy")
    file = tmp_path / f"pointer{kind}"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n")
    assert "found a Git LFS pointer to it; run 'git lfs pull'" in refused([str(file), b], capsys)


@pytest.mark.parametrize("name", ["notes.txt", "notes.txt/deeper"])
def test_an_unusable_out_folder_is_reported_before_the_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write(tmp_path, ".npy")
    (tmp_path / "notes.txt").touch()
    error = refused([a, b, "--out", str(tmp_path / name)], capsys)
    assert "--out: expected a folder to write to, found a file" in error
    assert main([a, b, "--out", str(tmp_path / "new" / "deeper")]) == 0


@pytest.mark.parametrize("command", ["report", "grounding"])
def test_a_folder_in_place_of_an_output_file_is_refused_before_the_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was replaced, with all that was in it."""
    (tmp_path / "notes.txt").touch()
    for out, message in (
        (tmp_path, "--out: expected the name of a file to write, found a folder: "),
        (tmp_path / "notes.txt" / "x", "--out: expected a folder to write to, found a file: "),
    ):
        assert message in refused([command, "no_such_run", "--out", str(out)], capsys)
    assert (tmp_path / "notes.txt").exists()


def test_an_epsilon_is_checked_before_the_arrays_are_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = refused(["no_such.npy", "b.npy", "--epsilon", "1.5"], capsys)
    assert "epsilon: expected a number in [0, 1), found 1.5" in error


# Zarr arrays that the user made

SPLIT: dict[str, dict[str, Any]] = {
    "chunks": {"chunks": (100, 12)},
    "columns": {"chunks": (100, 4)},
    "shards": {"chunks": (10, 12), "shards": (100, 12)},
    "version 2": {"chunks": (100, 12), "zarr_format": 2},
}


@pytest.fixture(params=SPLIT)
def zarr_array(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    zarr.create_array(tmp_path / "a.zarr", data=X, **SPLIT[request.param])
    np.save(tmp_path / "b.npy", Y)
    return tmp_path / "a.zarr"


def parts(array: Path) -> list[Path]:
    """List the files of an array's chunks."""
    found = (file for file in array.rglob("*") if file.is_file())
    return sorted(file for file in found if file.name not in ("zarr.json", ".zarray", ".zattrs"))


@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize("lost", [1, 2])
def test_missing_zarr_chunks_are_an_error_that_counts_them(
    lost: int, emptied: bool, zarr_array: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Zarr would read zeros: every neuron would be dead on a third of the samples."""
    arguments = [str(zarr_array), str(zarr_array.with_name("b.npy"))]
    assert main(arguments) == 0
    files = parts(zarr_array)
    for file in files[1 : 1 + lost]:
        file.write_bytes(b"") if emptied else file.unlink()
    error = refused(arguments, capsys)
    assert f"a.zarr: expected all {len(files)} files of a Zarr array, found {lost} missing" in error
    assert f"such as {files[1].relative_to(zarr_array)}" in error
    assert "write_empty_chunks" in error


def test_missing_chunks_in_a_zarr_group_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    group = zarr.create_group(tmp_path / "g.zarr")
    group.create_array("first", data=X, chunks=(100, 12))
    group.create_array("second", data=Y, chunks=(100, 10))
    parts(tmp_path / "g.zarr" / "second")[2].unlink()
    first, second = (f"{tmp_path / 'g.zarr'}:{name}" for name in ("first", "second"))
    assert "g.zarr/second: expected all 3 files" in refused([first, second], capsys)
    assert main([first, first]) == 0


def test_written_zeros_do_not_count_as_missing_chunks(tmp_path: Path) -> None:
    x = X.copy()
    x[100:200] = 0
    options = {"chunks": (100, 12), "config": {"write_empty_chunks": True}}
    zarr.create_array(tmp_path / "a.zarr", data=x, **options)
    assert main([str(tmp_path / "a.zarr"), str(tmp_path / "a.zarr")]) == 0


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_zarr_chunk_is_named(
    damage: str, zarr_array: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = parts(zarr_array)[1]
    content = bytearray(second.read_bytes())
    if damage == "changed":
        content[:] = bytes(byte ^ 0xFF for byte in content)
    second.write_bytes(content[:-7] if damage == "cut" else content)
    error = refused([str(zarr_array), str(zarr_array.with_name("b.npy"))], capsys)
    assert f"{second}: expected a whole chunk of a Zarr array, found a damaged one" in error


def test_a_flipped_byte_never_causes_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checksums detect every flip in a chunk; some flips in the metadata change nothing."""
    array = tmp_path / "a.zarr"
    codecs = [zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()]
    zarr.create_array(array, data=X, chunks=(100, 12), compressors=codecs)
    np.save(tmp_path / "b.npy", Y)
    arguments = [str(array), str(tmp_path / "b.npy")]
    rng = np.random.default_rng(0)
    for file in [*parts(array), array / "zarr.json"]:
        whole = file.read_bytes()
        for at in rng.choice(len(whole), 20, replace=False):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << rng.integers(8)
            file.write_bytes(flipped)
            code = main(arguments)
            assert code == 2 or file.name == "zarr.json"
            assert len(capsys.readouterr().err.strip().splitlines()) == (code == 2)
        file.write_bytes(whole)


def shown_help(*arguments: str) -> str:
    command = [sys.executable, "-m", "subspace_match.cli", *arguments, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("buffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_output_that_nobody_reads_stops_no_command(tmp_path: Path, buffered: str) -> None:
    arrays = write(tmp_path, ".npy")
    command = [sys.executable, "-m", "subspace_match.cli", *arrays, "--out", str(tmp_path / "out")]
    reader, writer = os.pipe()
    os.close(reader)
    environment = os.environ | {"PYTHONUNBUFFERED": buffered}
    run = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment, text=True)
    os.close(writer)
    assert (run.returncode, "rror" in run.stderr) == (0, False), run.stderr
    assert (tmp_path / "out" / "neurons.parquet").exists()


def test_a_command_may_have_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)
    assert main(["match", "no.npy", "no.npy"]) == 2
    assert main([*write(tmp_path, ".npy"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "neurons.parquet").exists()


def test_output_on_a_full_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([*write(tmp_path, ".npy")]) == 2
        monkeypatch.undo()
        with contextlib.suppress(OSError):  # what could not be written is still there
            full.close()
    assert "error: [Errno 28] No space left on device" in capsys.readouterr().err


def test_an_interrupt_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("subspace_match.matching.path.peel", interrupted)
    assert main([*write(tmp_path, ".npy"), "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "subspace-match: interrupted"
    assert not list(tmp_path.glob("out/*"))


def test_help_lists_the_commands_and_each_shows_an_example() -> None:
    commands = ("match", "report", "grounding", "provenance", "prune")
    overview = shown_help()
    assert all(f"\n    {name}" in overview for name in commands)
    for name in ("compare", "layers", "match", "report"):
        assert f"  subspace-match {name} " in overview or name == "match"
    assert "subspace-match a.npy b.npy\n" in overview
    assert "subspace-match a.npy b.npy --epsilon" in shown_help("match")
    for name in commands[1:]:
        assert f"example:\n  subspace-match {name} " in shown_help(name)


def test_the_short_form_on_two_files_is_the_command_match(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, ".npy")
    printed = []
    grid = "--epsilon", "0.15", "0.3"
    for arguments in ((*grid, "--", *files), ("match", *files, *grid), (*files, *grid)):
        assert main(arguments) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
