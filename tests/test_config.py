from pathlib import Path

import pytest
import yaml

from subspace_match.config import validated

CONFIG = Path(__file__).parents[1] / "config"
SCHEMA = yaml.safe_load((CONFIG / "schema.yaml").read_text())


def test_the_default_file_lists_every_key_with_its_default() -> None:
    default = yaml.safe_load((CONFIG / "config.yaml").read_text())
    assert default == validated({}, SCHEMA)


def test_every_key_of_the_default_file_has_a_comment() -> None:
    lines = (CONFIG / "config.yaml").read_text().splitlines()
    keys = [line for line in lines if ":" in line and not line.lstrip().startswith("#")]
    assert keys
    assert [line for line in keys if "#" not in line] == []


def test_defaults_are_filled_in_beside_what_is_given() -> None:
    complete = validated({"training": {"epochs": 3}}, SCHEMA)
    assert complete["training"]["epochs"] == 3
    assert complete["training"]["momentum"] == 0.9
    assert complete["seeds"] == [0, 1]


def test_one_and_one_point_zero_are_one_configuration() -> None:
    whole = validated({"network": {"width": 1}}, SCHEMA)
    assert repr(whole["network"]["width"]) == "1.0"


def test_numbers_that_arrive_as_texts_are_numbers() -> None:
    complete = validated({"seeds": ["0", "7"], "training": {"weight_decay": "5e-4"}}, SCHEMA)
    assert complete["seeds"] == [0, 7]
    assert complete["training"]["weight_decay"] == 5e-4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": [0, 1]}, "unknown key 'seed'; the nearest known key is 'seeds'"),
        (
            {"matching": {"epsilon": [0.1]}},
            "unknown key 'matching.epsilon'; the nearest known key is 'matching.epsilons'",
        ),
        (
            {"matching": {"epsilons": [0.1, 1.0]}},
            "matching.epsilons.1: expected a number >= 0 < 1, found 1.0",
        ),
        ({"seeds": []}, "seeds: expected a list of at least 1 without repetition, found []"),
        ({"seeds": [1, 1]}, "seeds: expected a list of at least 1 without repetition"),
        ({"stages": ["final"]}, "stages.0: expected initial, best, last or an epoch's number"),
        ({"stages": [0]}, "stages.0: expected initial, best, last or an epoch's number, found 0"),
        ({"stages": [11]}, "stages: expected epochs of the training, at most 10 (training.epochs)"),
        (
            {"compare": [{"seeds": "equal"}]},
            "compare.0.seeds: expected one of different, same, all, found 'equal'",
        ),
        ({"compare": [{"stages": "first"}]}, "compare.0.stages: expected same, last or two stages"),
        ({"compare": [{"stages": ["last", "best"]}]}, "compare.0.stages: expected stages that are"),
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
            "models.m.start: expected a model that does not start from it itself",
        ),
        (
            {"models": {"m": {"data": {"name": "cifar10"}}}},
            "models.m.data.root: expected the folder that holds cifar10's files",
        ),
        ({"extraction": {"nodes": "all"}}, "extraction.nodes: expected relu, convolution, block"),
        ({"training": {"epochs": 0}}, "training.epochs: expected a whole number >= 1, found 0"),
        ({"training": {"epochs": 2.5}}, "training.epochs: expected a whole number >= 1, found 2.5"),
        ({"training": {"nesterov": "yes"}}, "training.nesterov: expected true or false"),
        ({"training": 3}, "training: expected keys and values, found 3"),
        (
            {"training": {"epochs": 1}},
            "training.warmup_epochs: expected at most training.epochs (1)",
        ),
        (
            {"data": {"name": "cifar10"}},
            "data.root: expected the folder that holds cifar10's files",
        ),
        (
            {"matching": {"chunk_samples": 0}},
            "matching.chunk_samples: expected a whole number or null >= 1, found 0",
        ),
    ],
)
def test_a_fault_is_named_with_what_was_expected(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=r"^config: ") as error:
        validated(wrong, SCHEMA)
    assert message in str(error.value)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="seedz") as error:
        validated({"seedz": 1, "device": "tpu"}, SCHEMA)
    assert len(str(error.value).splitlines()) == 2


def test_a_models_numbers_are_the_schemas_too() -> None:
    models = {"m": {"training": {"weight_decay": "5e-4"}, "network": {"width": 1}}}
    complete = validated({"models": models}, SCHEMA)["models"]["m"]
    assert complete["training"] == {"weight_decay": 5e-4}
    assert repr(complete["network"]["width"]) == "1.0"
