import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from experiment.plans import origins

from subspace_match.experiment.config import MODEL_SECTIONS, Config, read_config, schema, validated
from subspace_match.experiment.paths import Paths
from subspace_match.experiment.plain_yaml import read_yaml
from subspace_match.matching.epsilons import EPSILONS

CONFIG = Path(__file__).parents[2] / "config"
DEFAULT = "config/config.yaml"


def test_the_default_file_lists_every_key_with_its_default() -> None:
    default = yaml.safe_load((CONFIG / "config.yaml").read_text())
    assert default == validated({})
    assert default["matching"]["epsilons"] == list(EPSILONS)


def test_every_key_of_the_default_file_has_a_comment() -> None:
    lines = (CONFIG / "config.yaml").read_text().splitlines()
    keys = [line for line in lines if ":" in line and not line.lstrip().startswith("#")]
    assert keys
    assert [line for line in keys if "#" not in line] == []


def test_the_schema_is_read_alike_by_every_reader() -> None:
    file = Path(__file__).parents[2] / "subspace_match" / "experiment" / "schema.yaml"
    found = read_yaml(file)
    assert found == yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    assert schema()["properties"].keys() == found["properties"].keys()


def test_missing_keys_get_their_defaults() -> None:
    complete = validated({"training": {"epochs": 3}})
    assert complete["training"]["epochs"] == 3
    assert complete["training"]["momentum"] == 0.9
    assert complete["seeds"] == [0, 1]


def test_one_and_one_point_zero_are_the_same_configuration() -> None:
    whole = validated({"network": {"width": 1}})
    assert repr(whole["network"]["width"]) == "1.0"


def test_strings_become_numbers_where_the_schema_wants_numbers() -> None:
    complete = validated({"seeds": ["0", "7"], "training": {"weight_decay": "5e-4"}})
    assert complete["seeds"] == [0, 7]
    assert complete["training"]["weight_decay"] == 5e-4


def test_a_root_may_be_that_of_a_model_alone() -> None:
    config = {"data": {"root": "r"}, "models": {"m": {}, "n": {"data": {"name": "mnist"}}}}
    assert validated(config)["data"] == validated({})["data"] | {"root": "r"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": [0, 1]}, "unknown key 'seed'; the nearest known key is 'seeds'"),
        ({"heat_map": {"places": 5}}, "heat_map.places was renamed to heat_map.positions"),
        (
            {"chance": {"permutations": 20}},
            "chance.permutations: expected 0 or one less than a multiple of 20, so that p <= 0.05"
            " and the null's threshold agree, found 20; use 19",
        ),
        (
            {"chance": {"permutations": "many"}},
            "chance.permutations: expected auto, or a whole number from 0 to 1000000, found 'many'",
        ),
        (
            {"matching": {"epsilon": [0.1]}},
            "unknown key 'matching.epsilon'; the nearest known key is 'matching.epsilons'",
        ),
        (
            {"matching": {"epsilons": [0.1, 1.0]}},
            "matching.epsilons.1: expected a number >= 0 and < 1, found 1.0",
        ),
        (
            {"seeds": []},
            "seeds: expected a list with at least 1 value without repetition, found []",
        ),
        ({"seeds": [1, 1]}, "seeds: expected a list with at least 1 value without repetition"),
        ({"stages": ["final"]}, "stages.0: expected initial, best, last or an epoch's number"),
        ({"stages": [0]}, "stages.0: expected initial, best, last or an epoch's number, found 0"),
        ({"stages": [6]}, "stages: expected epochs of the training, at most 5 (training.epochs)"),
        (
            {"compare": [{"seeds": "equal"}]},
            "compare.0.seeds: expected one of different, same, all, found 'equal'",
        ),
        ({"compare": [{"stages": "first"}]}, "compare.0.stages: expected same, last or two stages"),
        (
            {"compare": [{"stages": ["last", "best"]}]},
            "compare.0.stages: expected two of ['last'],",
        ),
        ({"compare": [{"models": ["base"]}]}, "compare.0.models: expected two models or none"),
        ({"compare": [{"models": ["base", "x"]}]}, "compare.0.models: expected two of ['base']"),
        (
            {"models": {"m": {"training": {"epoch": 3}}}},
            "unknown key 'models.m.training.epoch'; the nearest known key is"
            " 'models.m.training.epochs'",
        ),
        (
            {"models": {"m": {"network": {"width": 0}}}},
            "models.m.network.width: expected a number > 0, found 0",
        ),
        ({"models": {"m": {"start": "n"}}}, "models.m.start: expected one of ['m'], found 'n'"),
        (
            {"models": {"m": {"start": "n"}, "n": {"start": "m"}}},
            "models.m.start: expected a model that does not start from this one",
        ),
        (
            {"models": {"m": {"data": {"name": "cifar10"}}}},
            "models.m.data.root: expected the folder that holds cifar10's files",
        ),
        (
            {"data": {"shortcut": 1.5}},
            "data.shortcut: expected null, or a number from 0 to 1, found 1.5",
        ),
        (
            {"data": {"name": "imagenet", "root": "r", "shortcut": 0}},
            "data.shortcut: expected null for image files (imagenet), found 0.0",
        ),
        (
            {"data": {"name": "python_library", "random_labels": 0.5}},
            "data.random_labels: expected 0.0 for texts (python_library), found 0.5",
        ),
        (
            {"models": {"m": {"data": {"name": "python_library", "train_images": 5}}}},
            "models.m.data.train_images: expected null for texts (python_library), found 5",
        ),
        (
            {"data": {"root": "photos"}},
            "data.root: expected null for mnist_5k, which has no files there, found 'photos'; name"
            " the data set of that folder in data.name, such as image_folder",
        ),
        (
            {"models": {"m": {"data": {"root": "photos"}}, "n": {}}},
            "models.m.data.root: expected null for mnist_5k, which has no files there, found",
        ),
        ({"extraction": {"nodes": "all"}}, "extraction.nodes: expected auto, relu, activation"),
        ({"training": {"epochs": 0}}, "training.epochs: expected a whole number >= 1, found 0"),
        ({"training": {"epochs": 2.5}}, "training.epochs: expected a whole number >= 1, found 2.5"),
        ({"training": {"nesterov": "yes"}}, "training.nesterov: expected true or false"),
        ({"training": 3}, "training: expected keys and values, found 3"),
        (
            {"training": {"warmup_epochs": 6}},
            "training.warmup_epochs: expected at most training.epochs (5)",
        ),
        (
            {"data": {"name": "cifar10"}},
            "data.root: expected the folder that holds cifar10's files",
        ),
        (
            {"matching": {"chunk_samples": 0}},
            "matching.chunk_samples: expected a whole number >= 1, or null, found 0",
        ),
    ],
)
def test_an_error_names_the_key_and_the_expected_value(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=r"^config: ") as error:
        validated(wrong)
    assert message in str(error.value)


def test_one_error_names_all_faults() -> None:
    with pytest.raises(ValueError, match="seedz") as error:
        validated({"seedz": 1, "device": "tpu"})
    assert len(str(error.value).splitlines()) == 2


def test_faults_are_always_in_the_same_order() -> None:
    wrong = {"training": {"epochs": 0}, "network": {"width": 0}, "data": {"train_images": 0}}
    unknown = [f"{letter}{number}" for number in range(8) for letter in "xy"]
    compare = [{"models": unknown[at : at + 2]} for at in range(0, len(unknown), 2)]
    stages = [{"stages": each["models"]} for each in compare]
    with pytest.raises(ValueError, match=r"^config: ") as error:
        validated({"models": {f"m{number}": wrong for number in range(4)}})
    found = re.findall(r"models\.(m\d)\.(\w+)\.", str(error.value))
    assert found == [(f"m{number}", section) for number in range(4) for section in MODEL_SECTIONS]
    for entries in (compare, stages):
        with pytest.raises(ValueError, match=r"^config: ") as error:
            validated({"compare": entries})
        assert re.findall(r"found '(\w+)'", str(error.value)) == unknown


def test_the_overrides_of_a_model_get_the_types_of_the_schema() -> None:
    models = {"m": {"training": {"weight_decay": "5e-4"}, "network": {"width": 1}}}
    complete = validated({"models": models})["models"]["m"]
    assert complete["training"] == {"weight_decay": 5e-4}
    assert repr(complete["network"]["width"]) == "1.0"


# Ambiguous values


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seeds": [0.0, 1]}, "seeds.0: expected a whole number >= 0, found 0.0"),
        ({"seeds": ["010"]}, "seeds.0: expected a whole number >= 0, found '010'"),
        ({"seeds": ["1_0"]}, "seeds.0: expected a whole number >= 0, found '1_0'"),
        ({"seeds": [True]}, "seeds.0: expected a whole number >= 0, found True"),
        (
            {"seeds": [2**32]},
            "seeds.0: expected a whole number >= 0 and <= 4294967295, found 42949672",
        ),
        ({"stages": ["010"]}, "stages.0: expected initial, best, last or an epoch's number"),
        ({"stages": [2.0]}, "stages.0: expected initial, best, last or an epoch's number"),
        ({"stages": ["last\n"]}, "stages.0: expected initial, best, last or an epoch's number"),
        ({"stages": [5, "5"]}, "stages: expected a list without repetition, found [5, '5']"),
        ({"training": {"epochs": 2.0}}, "training.epochs: expected a whole number >= 1, found 2.0"),
        ({"training": {"epochs": "2.0"}}, "training.epochs: expected a whole number >= 1"),
        (
            {"matching": {"chunk_samples": 9.0}},
            "matching.chunk_samples: expected a whole number >= 1, or null, found 9.0",
        ),
        (
            {"training": {"learning_rate": math.inf}},
            "training.learning_rate: expected a number > 0, found inf",
        ),
        ({"training": {"learning_rate": math.nan}}, "training.learning_rate: expected a number"),
        ({"training": {"learning_rate": ".nan"}}, "training.learning_rate: expected a number"),
        ({"training": {"weight_decay": "inf"}}, "training.weight_decay: expected a number"),
        ({"network": {"width": 10**400}}, "network.width: expected a number > 0, found inf"),
        ({"network": {"width": 1e9}}, "network.width: expected a number > 0 and <= 100, found"),
        (
            {"network": {"mean": [123.0]}},
            "network.mean.0: expected a number from 0 to 1, found 123",
        ),
        ({"network": {"mean": [math.nan]}}, "network.mean.0: expected a number from 0 to 1, found"),
        ({"network": {"std": [58]}}, "network.std.0: expected a number above 0, at most 1, found"),
        ({"network": {"std": [0]}}, "network.std.0: expected a number above 0, at most 1, found 0"),
        ({"network": {"mean": [0.5]}}, "network.std: expected one for each channel, as many as ne"),
        (
            {"network": {"mean": [0.5], "std": [0.2]}},
            "network.mean, network.std: expected none without network.weights, found some;",
        ),
        ({"network": {"hidden": [10**9]}}, "network.hidden.0: expected a whole number"),
        ({"data": {"image_size": 10**6}}, "data.image_size: expected a whole number"),
        (
            {"training": {"crop_padding": 33}},
            "training.crop_padding: expected at most data.image_s",
        ),
        (
            {"models": {False: {}}},
            "models: expected strings as keys, found False; write it in quotes",
        ),
        ({"models": {1: {}}}, "models: expected strings as keys, found 1; write it in quotes"),
        ({"models": {"m": {"data": {None: 1}}}}, "models.m.data: expected strings as keys"),
        ({None: 1}, "expected strings as keys, found None; write it in quotes"),
        (
            {"models": {"a b": {}}},
            "models: expected names of lower-case letters, digits and underscores",
        ),
        (
            {"models": {"a\n": {}}},
            "models: expected names of lower-case letters, digits and underscores",
        ),
        ({"results": "out{1}"}, "results: expected the name of a folder, without braces, found"),
        ({"results": "res{seed}"}, "results: expected the name of a folder, without braces"),
        ({"results": "a\nb"}, "results: expected the name of a folder, without braces, found"),
        ({"results": ""}, "results: expected the name of a folder, without braces, found ''"),
        ({"network": {"weights": "w{1}.pt"}}, "network.weights: expected the name of published w"),
        ({"data": {"root": "a\0b"}}, "data.root: expected the name of a folder, or null"),
    ],
)
def test_an_ambiguous_or_absurd_value_is_an_error_of_one_line(wrong: Config, message: str) -> None:
    with pytest.raises(ValueError, match=r"^config: ") as error:
        validated(wrong)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


NASTY: list[Any] = [
    *(None, True, False, 0, 1, -1, 2.0, 0.5, -0.0, math.nan, math.inf, -math.inf, 10**30, 10**400),
    *("", " ", "~", "010", "1:30", "0x10", "1_0", "yes", "null", "{a}", "{", "a\nb", "a\0b", "é"),
    *("../x", "/", "C:\\x", "9" * 400, [], [[]], [None], [{}], [1, 1], ["a", "a"], [math.nan]),
    *({}, {"a": 1}, {1: 2}, {None: {}}, {False: [{True: 1}]}, [0, 0.0], "5e-4", "٣", [10**400]),
]


def all_keys(schema: Config, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path to every key of the configuration, sections included."""
    for key, part in schema.get("properties", {}).items():
        yield (*above, key)
        yield from all_keys(part, (*above, key))


def test_any_value_at_any_key_is_a_clear_error_or_a_valid_configuration() -> None:
    """No other exception is raised, and no path contains NaN, braces or control characters."""
    keys = list(all_keys(schema()))
    keys += [("models", "m", *path) for path in keys if path[0] in ("data", "network", "training")]
    keys += [("models", "m"), ("models", "m", "start"), ("unknown",), ("data", "unknown")]
    keys += [(*("compare", "0"), part) for part in ("models", "seeds", "stages", "unknown")]
    accepted = refused = 0
    for path in keys:
        for value in NASTY:
            config: Any = value
            for key in reversed(path):
                config = [config] if key == "0" else {key: config}
            try:
                complete = validated(config)
            except ValueError as error:
                lines = str(error).splitlines()
                assert lines, path
                assert all(line.startswith("config: ") for line in lines), (path, value)
                refused += 1
                continue
            json.dumps(complete, allow_nan=False)
            paths = Paths(complete, origins())
            assert paths.models, path
            assert not {"{", "}", "\0", "\n"} & set(paths.data("x")), (path, value)
            assert validated(json.loads(json.dumps(complete))) == complete
            accepted += 1
    assert (accepted + refused, accepted > 100, refused > 1000) == (
        len(keys) * len(NASTY),
        True,
        True,
    )


# Files

READ_DIFFERENTLY = {
    "seeds: [010]": "found 010;",
    "stages: [010]": "found 010;",
    "seeds: [1:30]": "found 1:30;",
    "seeds: [08]": "found 08;",
    "seeds: [0o17]": "found 0o17;",
    "seeds: [0b11]": "found 0b11;",
    "seeds: [1_000]": "found 1_000;",
    "network: {width: 01.5}": "found 01.5;",
    "network: {width: 1:30.5}": "found 1:30.5;",
    "training: {flip: yes}": "found yes;",
    "models: {no: {}}": "found no;",
    "data: {root: on}": "found on;",
    "results: 2020-01-01": "found 2020-01-01;",
    "results: =": "found =;",
    "seeds: [!!int '3']": "found 3;",
    "seeds: !!python/tuple [1]": "found tag:yaml.org,2002:python/tuple;",
}
REFUSED = {
    "seeds: [0]\nseeds: [1]": "line 2: the key 'seeds' appears twice; keep one",
    "data: {name: mnist, name: cifar10}": "line 1: the key 'name' appears twice; keep one",
    '{"seeds": [0], "seeds": [1]}': "the key 'seeds' appears twice; keep one",
    "data: &d {root: *d}": "line 1: expected a value, found an alias of a node around it",
    "? [1]\n: 2": "line 1: expected a string as key, found a list or a mapping",
    "seeds: [0": "line 1: while parsing a flow sequence, expected ',' or ']'",
    "\tseeds: [0]": "line 1: while scanning for the next token, found character '\\t'",
    "- 1": "expected keys and values, found [1]",
    "seeds: [0]\n---\nseeds: [1]": "line 2: expected a single document",
    "seeds: [" + "9" * 5000 + "]": "Exceeds the limit",
    "seeds: " + "[" * 3000: "maximum recursion depth",
    "results: a\x07b": "unacceptable character #x0007",
}


@pytest.mark.parametrize("text", READ_DIFFERENTLY)
def test_a_value_that_yaml_versions_read_differently_is_an_error(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"# mine\n{text}\n")
    with pytest.raises(
        ValueError, match=r"mine\.yaml: line 2: .* 1\.1 and 1\.2 read alike"
    ) as error:
        read_yaml(file)
    assert READ_DIFFERENTLY[text] in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("text", REFUSED)
def test_a_file_that_is_not_a_configuration_is_an_error_with_its_line(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"mine\.yaml: ") as error:
        read_yaml(file)
    assert REFUSED[text] in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes("seeds: [0, 1]  # café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"mine\.yaml: expected a configuration file in UTF-8"):
        read_yaml(file)
    file.write_text("\ufeffseeds: [0, 1]")
    assert read_yaml(file) == {"seeds": [0, 1]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 10", 10),
        ("a: -0.5", -0.5),
        ("a: 0x1F", 31),
        ("a: '010'", "010"),
        ("a: 5e-4", "5e-4"),
        ("a: true", True),
        ("a: ~", None),
        ("a: y", "y"),
        ("b: &t {x: 1}\na: {<<: *t, x: 2}", {"x": 2}),
        ('{"a":\t1.5}', 1.5),
    ],
)
def test_a_value_that_all_yaml_versions_read_alike_is_read(
    text: str, value: Any, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    assert read_yaml(tmp_path / "mine.yaml")["a"] == value


def test_all_yaml_versions_read_the_files_of_the_project_alike() -> None:
    files = sorted(CONFIG.glob("*.yaml"))
    assert len(files) > 10
    for file in files:
        assert read_yaml(file) == yaml.safe_load(file.read_text())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a default file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("training: {epochs: 3, momentum: 0.5}\n")
    return tmp_path


def test_later_files_override_earlier_ones_and_the_command_line_overrides_all(folder: Path) -> None:
    (folder / "a.yaml").write_text("seeds: [4, 5]\ntraining: {momentum: 0.6, flip: true}\n")
    (folder / "b.yaml").write_text("training: {momentum: 0.7}\n")
    overrides = {"training": {"warmup_epochs": "1"}}
    config = read_config([DEFAULT, "a.yaml", "b.yaml"], overrides)
    training = {key: config["training"][key] for key in ("epochs", "momentum", "warmup_epochs")}
    assert training == {"epochs": 3, "momentum": 0.7, "warmup_epochs": 1}
    assert config["training"]["flip"] is True
    assert config["seeds"] == [4, 5]


def test_every_file_is_checked_even_if_another_overrides_it(folder: Path) -> None:
    (folder / "a.yaml").write_text("seeds: [010]\n")
    (folder / "b.yaml").write_text("seeds: [0, 1]\n")
    with pytest.raises(ValueError, match=r"a\.yaml: line 1: .* found 010"):
        read_config([DEFAULT, "a.yaml", "b.yaml"])


def test_a_missing_default_file_is_an_error_unless_another_is_given(folder: Path) -> None:
    (folder / "config" / "config.yaml").unlink()
    with pytest.raises(ValueError, match=r"config/config\.yaml: .* with --configfile"):
        read_config([DEFAULT])
    (folder / "a.yaml").write_text("seeds: [4, 5]\n")
    assert read_config([DEFAULT, "a.yaml"])["training"]["epochs"] == 5


@pytest.mark.parametrize("name", ["notes.txt", "notes.txt/deeper/still", "link"])
def test_results_that_cannot_be_a_folder_are_an_error(name: str, folder: Path) -> None:
    (folder / "notes.txt").touch()
    (folder / "link").symlink_to("notes.txt")
    with pytest.raises(ValueError, match=r"config: results: expected a folder, found the file"):
        read_config([DEFAULT], overrides={"results": name})


def test_a_tilde_in_any_path_is_the_home_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    own = {"data": {"name": "mnist", "root": "~/d"}, "network": {"weights": "~/w.pt"}}
    config = read_config(
        [DEFAULT], overrides={"results": "~/res", **own, "models": {"m": own, "n": {}}}
    )
    assert config["results"] == "/home/me/res"
    for part in (config, config["models"]["m"]):
        assert (part["data"]["root"], part["network"]["weights"]) == (
            "/home/me/d",
            "/home/me/w.pt",
        )
    assert not (folder / "~").exists()
    with pytest.raises(
        ValueError, match=r"config: results: expected the home folder of a user, found '~n"
    ):
        read_config([DEFAULT], overrides={"results": "~nobody-of-that-name/res"})


def test_a_missing_configuration_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.yaml: expected a configuration file, found none"):
        read_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("data", "task", "fault"),
    [
        ("python_library", "classify", "expected language_model for texts (python_library), found"),
        ("mnist_5k", "language_model", "expected classify for images (mnist_5k), found"),
    ],
)
def test_the_task_of_a_training_fits_its_data(data: str, task: str, fault: str) -> None:
    config = {"data": {"name": data}, "training": {"task": task}}
    with pytest.raises(ValueError, match=re.escape(f"config: training.task: {fault} {task}")):
        validated(config)
    validated(config | {"network": {"weights": "w.pt"}})  # nothing is trained


def test_only_data_sets_without_a_folder_of_their_own_need_a_root() -> None:
    training = {"task": "language_model"}
    validated({"data": {"name": "python_library"}, "training": training})
    with pytest.raises(ValueError, match=r"data\.root: expected the folder that holds text_"):
        validated({"data": {"name": "text_folder"}, "training": training})


def test_a_fault_of_a_model_is_named_once_though_others_start_from_it() -> None:
    models = {"a": {"start": "none"}, "b": {"start": "a"}, "c": {"start": "b"}}
    with pytest.raises(ValueError, match=r"^config: models\.a\.start: expected .* found 'none'$"):
        validated({"models": models})
