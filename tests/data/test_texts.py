"""Texts are cut into windows of tokens, and divided by files."""

import json
from pathlib import Path

import numpy as np
import pytest

from subspace_match.data.catalogue import count_test_inputs, source_of, text_files
from subspace_match.data.prepare import prepare
from subspace_match.data.prepared import TextSplit, load, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten files of 30 to 39 bytes, hidden ones, and one that is shorter than a window."""
    root = tmp_path / "texts"
    (root / "deeper").mkdir(parents=True)
    for number in range(10):
        where = root / "deeper" if number % 2 else root
        (where / f"{number}.txt").write_bytes(bytes([48 + number]) * (30 + number))
    (root / "short").write_text("é")
    (root / ".hidden").write_bytes(b"\xff" * 99)
    (root / ".git").mkdir()
    (root / ".git" / "x.txt").write_bytes(b"\xff" * 99)
    return root


def windows_of(folder: Path, **settings: object) -> tuple[TextSplit, TextSplit]:
    data = prepare("text_folder", str(folder), 32, **{**DEFAULT, **settings})  # type: ignore[arg-type]
    assert isinstance(data.train, TextSplit)
    assert isinstance(data.test, TextSplit)
    return data.train, data.test


DEFAULT = {"test_fraction": 0.2, "split_seed": 0, "tokens": 10}


def test_windows_are_the_bytes_of_whole_files_in_order(folder: Path) -> None:
    train, test = windows_of(folder)
    everything = np.concatenate([train.tokens, test.tokens])
    assert everything.dtype == np.uint8
    assert (everything == everything[:, :1]).all()  # no window crosses the end of a file
    files, counts = np.unique(everything[:, 0], return_counts=True)
    assert files.tolist() == [48 + number for number in range(10)]
    assert counts.tolist() == [3] * 10
    assert sorted([*train.index, *test.index]) == list(range(30))


def test_at_most_one_file_has_windows_in_both_splits(folder: Path) -> None:
    train, test = windows_of(folder)
    assert len(test) == 6
    assert len(set(train.tokens[:, 0]) & set(test.tokens[:, 0])) == 0
    train, test = windows_of(folder, test_fraction=0.25)
    assert len(test) == round(0.25 * 30)
    assert len(set(train.tokens[:, 0]) & set(test.tokens[:, 0])) == 1


def test_the_seed_decides_the_split(folder: Path) -> None:
    _, one = windows_of(folder)
    _, again = windows_of(folder)
    _, other = windows_of(folder, split_seed=1)
    assert np.array_equal(one.tokens, again.tokens)
    assert not np.array_equal(one.index, other.index)


def test_a_saved_text_loads_unchanged(folder: Path, tmp_path: Path) -> None:
    data = prepare("text_folder", str(folder), 32, 0.2, 0, tokens=10)
    save(tmp_path / "data.safetensors", data)
    loaded = load(tmp_path / "data.safetensors")
    assert loaded.about == data.about
    assert loaded.about["classes"] == 256
    assert (loaded.about["files"], loaded.about["short_files"]) == (11, 1)
    for part in ("train", "test"):
        for field in ("tokens", "index"):
            expected = getattr(getattr(data, part), field)
            assert np.array_equal(getattr(getattr(loaded, part), field), expected)


def test_the_error_names_a_file_that_is_not_utf_8(folder: Path) -> None:
    (folder / "deeper" / "latin").write_bytes("Käse".encode("latin-1"))
    with pytest.raises(ValueError, match=r"deeper/latin: expected a readable file of text in"):
        windows_of(folder)


@pytest.mark.parametrize("settings", [{"tokens": 1000}, {"test_fraction": 0.01}])
def test_a_split_without_windows_is_refused(folder: Path, settings: dict[str, object]) -> None:
    expected = r"data\.root: expected text for windows of \d+ tokens in both splits, found \d+ wind"
    with pytest.raises(ValueError, match=expected):
        windows_of(folder, **settings)


def test_windows_are_counted_without_reading_the_files(folder: Path) -> None:
    section = {"name": "text_folder", "root": str(folder), "tokenizer": "bytes", **DEFAULT}
    assert count_test_inputs(section) == 6
    assert source_of(section).classes == 256


def test_the_standard_library_is_there_without_tests_and_installed_packages() -> None:
    files = text_files("python_library", None)
    assert any(file.parts[-2:] == ("json", "decoder.py") for file in files)
    assert len(files) > 300
    assert all(file.suffix == ".py" for file in files)
    assert not any(
        {"site-packages", "dist-packages", "test", "tests"} & set(f.parts) for f in files
    )


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    """A tokenizer.json in the real format: four words, and [CLS] and [SEP] around each text."""
    words = ["[UNK]", "[CLS]", "[SEP]", "one", "two", "three", "four"]
    special = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {
            word: {"id": word, "ids": [words.index(word)], "tokens": [word]}
            for word in ("[CLS]", "[SEP]")
        },
    }
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": special,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: number for number, word in enumerate(words)},
            "unk_token": "[UNK]",
        },
    }
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(content))
    return str(file)


def test_a_tokenizer_cuts_whole_windows_with_its_own_ends(tmp_path: Path, tokenizer: str) -> None:
    root = tmp_path / "words"
    root.mkdir()
    (root / "a").write_text("one two three four five one two")
    (root / "b").write_text("four four four")
    train, test = windows_of(root, tokenizer=tokenizer, tokens=5, test_fraction=0.34)
    found = sorted([*train.tokens.tolist(), *test.tokens.tolist()])
    assert found == [[1, 3, 4, 5, 2], [1, 6, 0, 3, 2], [1, 6, 6, 6, 2]]
    section = {"name": "text_folder", "root": str(root), "tokenizer": tokenizer}
    assert source_of(section).classes == 7


def test_the_error_for_what_is_no_tokenizer_says_what_to_name(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text("{}")
    for name in ("t.json", "none.json"):
        with pytest.raises(ValueError, match=r"data\.tokenizer: expected bytes or the tokenizer"):
            windows_of(tmp_path, tokenizer=str(tmp_path / name))


def test_a_window_without_room_for_a_token_is_refused(tmp_path: Path, tokenizer: str) -> None:
    with pytest.raises(ValueError, match=r"data\.tokens: expected more than the 2 tokens that"):
        windows_of(tmp_path, tokenizer=tokenizer, tokens=2)
