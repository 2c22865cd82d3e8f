"""Files that are gone are replaced by the data set prepared from them, never by another one."""

import shutil
from pathlib import Path

import pytest
from experiment.plans import Digests
from jobs import job, record_for

from subspace_match.experiment.config import Config, validated
from subspace_match.experiment.keys import Keys, Origins
from subspace_match.experiment.origins import origins_of
from subspace_match.storage.files import write_record
from subspace_match.workflow.invocation import INVOCATION, invocation

FILES = {
    "image_folder": "cat/1.png",
    "imagenet": "val/n1/1.JPEG",
    "text_folder": "deeper/a.txt",
    "cifar10": "cifar-10-batches-py/data_batch_1",
    "mnist": "t10k-labels-idx1-ubyte.gz",
}


class Code:
    """Code that is the same in every test, with another digest for each version."""

    version = "0"
    names = ("prepare_data",)

    def digest(self, _: str) -> str:
        return self.version


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, {}, {}))
    return tmp_path


def config_of(name: str, root: str, **changes: object) -> Config:
    task = {"task": "language_model"} if name == "text_folder" else {}
    return validated({"data": {"name": name, "root": root, **changes}, "training": task})


def write_files(name: str, root: str, text: str = "a") -> None:
    file = Path(root, FILES[name])
    file.parent.mkdir(parents=True)
    file.write_text(text)


def origins(config: Config) -> tuple[Origins, list[str]]:
    """Return the digests of a configuration, and what is said to the user."""
    said: list[str] = []
    return origins_of(config, Code(), "results", said.append), said  # type: ignore[arg-type]


def prepare(config: Config) -> str:
    """Make a data set's record as the workflow does; return the data set's key."""
    found, _ = origins(config)
    (content,) = found.contents.values()
    key = Keys(config, Origins(Digests(found.code), found.contents)).data_key()
    made = job("prepare_data", f"data/{key}", ["data.json"], config)
    made.params = {"locations": {"root": config["data"]["root"], "tokenizer": "bytes"}}
    write_record(made.output[0], {"content": content})
    Path("prepare_data.py").touch()
    Path("module_of_prepare_data.py").touch()
    record_for(made).write()
    return key


@pytest.mark.parametrize("name", FILES)
def test_a_data_set_is_used_whose_files_were_deleted_or_unmounted(name: str) -> None:
    config = config_of(name, "photos")
    write_files(name, "photos")
    before, said = origins(config)
    assert said == []
    key = prepare(config)
    shutil.rmtree("photos")
    for _ in ("deleted", "not mounted: an empty folder"):
        after, (said_once,) = origins(config)
        assert after == before
        assert f"found no files of {name} in photos; using the data set that was" in said_once
        assert f"results/data/{key}" in said_once
        Path("photos").mkdir(exist_ok=True)
    # The same folder, spelled otherwise.
    for root in (str(Path("photos").absolute()), "./photos/", "results/../photos"):
        assert set(origins(config_of(name, root))[0].contents.values()) == set(
            before.contents.values()
        )


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("other", ["missing", "empty", "other files"])
def test_another_folder_is_never_answered_with_that_data_set(name: str, other: str) -> None:
    write_files(name, "photos")
    prepare(config_of(name, "photos"))
    if other != "missing":
        Path("photoz").mkdir()
    if other == "other files":
        Path("photoz", "notes.md" if name != "text_folder" else ".hidden").touch()
    for _ in ("whether or not the files still exist", "they do not"):
        with pytest.raises(ValueError, match=r"^data\.root: expected .*photoz") as error:
            origins(config_of(name, "photoz"))
        found = "no such folder" if other == "missing" else "none"
        assert f"found {found}; a data set with the same settings was prepared from photos" in str(
            error.value
        )
        assert len(str(error.value).splitlines()) == 1
        shutil.rmtree("photos", ignore_errors=True)


def test_without_a_prepared_data_set_the_advice_is_to_get_the_files() -> None:
    write_files("mnist", "digits")
    prepare(config_of("mnist", "digits"))
    shutil.rmtree("digits")
    for config in (config_of("cifar10", "digits"), config_of("mnist", "digits", split_seed=1)):
        with pytest.raises(ValueError, match="found no such folder; fetch them with"):
            origins(config)


def test_a_data_set_that_older_code_prepared_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_files("mnist", "digits")
    prepare(config_of("mnist", "digits"))
    shutil.rmtree("digits")
    monkeypatch.setattr(Code, "version", "1")
    with pytest.raises(ValueError, match="found no such folder; fetch them with"):
        origins(config_of("mnist", "digits"))


def test_a_folder_that_held_different_files_is_not_guessed() -> None:
    config = config_of("image_folder", "photos")
    keys = []
    for text in "ab":
        write_files("image_folder", "photos", text)
        keys.append(prepare(config))
        shutil.rmtree("photos")
    with pytest.raises(ValueError, match="which of them is meant is not certain: bring") as error:
        origins(config)
    assert all(f"results/data/{key}" in str(error.value) for key in keys)
    shutil.rmtree(f"results/data/{keys[0]}")
    assert len(origins(config)[1]) == 1


def test_two_models_keep_their_own_data_when_both_folders_are_gone() -> None:
    own = {"data": {"name": "image_folder", "root": "a"}}
    config = validated(own | {"models": {"m": {}, "n": {"data": {"root": "b"}}}})
    for root in "ab":
        write_files("image_folder", root, root)
        prepare(config_of("image_folder", root))
    before, _ = origins(config)
    assert len(set(before.contents.values())) == 2
    for root in "ab":
        shutil.rmtree(root)
    after, said = origins(config)
    assert (after, len(said)) == (before, 2)


@pytest.mark.parametrize("name", ["image_folder", "text_folder"])
def test_one_link_to_nothing_is_an_error_and_no_missing_data_set(name: str) -> None:
    config = config_of(name, "photos")
    write_files(name, "photos")
    prepare(config)
    link = Path("photos", FILES[name]).with_name("link.png")
    link.symlink_to("nothing.png")
    expected = r"data\.root: expected readable files, found a link to nothing, photos/.*link\.png"
    with pytest.raises(ValueError, match=expected):
        origins(config)


def test_weights_and_tokenizers_are_never_replaced() -> None:
    Path("folder.pt").mkdir()
    cases = {
        "none.pt": r"network\.weights: expected a file of weights, found none at none\.pt",
        "folder.pt": r"network\.weights: expected a file of weights, found an error of the system:"
        r" .*Is a directory: 'folder\.pt'",
    }
    for weights, expected in cases.items():
        with pytest.raises(ValueError, match=expected):
            origins(validated({"network": {"weights": weights}}))
    write_files("text_folder", "texts")
    config = config_of("text_folder", "texts", tokenizer="none.json")
    with pytest.raises(ValueError, match=r"data\.tokenizer: .*, found none at none\.json"):
        origins(config)
