"""A path changes with what decides its content, and with nothing else."""

from pathlib import Path

import pytest
import yaml

from subspace_match.comparisons import Network
from subspace_match.config import validated
from subspace_match.layout import Layout

SCHEMA = yaml.safe_load((Path(__file__).parents[1] / "config" / "schema.yaml").read_text())


BELOW_RECORDING = {"activations", "match", "null", "experiment"}
BELOW_NETWORK = {"network", *BELOW_RECORDING, "places", "heat_map"}
BELOW_DATA = {"initial", *BELOW_NETWORK}


def paths(**changes: object) -> dict[str, str]:
    layout = Layout(validated(changes, SCHEMA))
    a, b = (Network("base", seed, "last") for seed in (0, 1))
    keys = layout.key(a), layout.key(b)
    return {
        "data": layout.data("images"),
        "initial": layout.start(layout.model_key(layout.models["base"]), 0),
        "network": layout.network(a, ".safetensors"),
        "activations": layout.activations(keys[0]),
        "places": layout.places(keys[0]),
        "match": layout.match(*keys, layout.group(["conv1"]), "path"),
        "null": layout.null(*keys, layout.group(["conv1"])),
        "heat_map": layout.heat_map(*keys),
        "experiment": layout.experiment("tables"),
    }


def changed(**changes: object) -> set[str]:
    before, after = paths(), paths(**changes)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("changes", "affected"),
    [
        ({"data": {"split_seed": 1}}, {"data", *BELOW_DATA}),
        ({"network": {"width": 1}}, BELOW_DATA),
        ({"training": {"epochs": 3}}, BELOW_NETWORK),
        ({"stages": ["last", 3]}, BELOW_NETWORK),
        ({"threads": 2}, BELOW_NETWORK),
        ({"extraction": {"positions": 5}}, BELOW_RECORDING),
        ({"extraction": {"draws": 2}}, BELOW_RECORDING),
        ({"extraction": {"nodes": "convolution"}}, {*BELOW_RECORDING, "places", "heat_map"}),
        ({"matching": {"chunk_samples": 100}}, {"match", "null", "experiment"}),
        ({"chance": {"permutations": 5}}, {"null", "experiment"}),
        ({"heat_map": {"places": 5}}, {"places", "heat_map", "experiment"}),
        ({"minimal_matches": {"epsilons": [0.5]}}, {"experiment"}),
        ({"matching": {"epsilons": [0.1]}}, {"experiment"}),
        ({"matching": {"layers": ["fc*"]}}, {"experiment"}),
        ({"seeds": [0, 1, 2]}, {"experiment"}),
        ({"stages": ["initial", "best", "last"]}, {"experiment"}),
        ({"compare": [{"seeds": "all"}]}, set()),
        ({"models": {"base": {}}}, set()),
        ({"models": {"base": {}, "other": {"network": {"width": 1}}}}, {"experiment"}),
        ({"seeds": [1, 0]}, set()),
        ({"matching": {"epsilons": [0.5, 0.3, 0.25, 0.2, 0.15]}}, set()),
        ({"figures": {"formats": ["svg"]}}, set()),
        ({"device": "cpu"}, set()),
        ({"data": {"root": "elsewhere"}}, set()),
        ({"data": {"workers": 0}}, set()),
        ({"models": {"base": {"data": {"root": "elsewhere"}}}}, set()),
    ],
)
def test_what_a_change_affects(changes: dict, affected: set[str]) -> None:
    assert changed(**changes) == affected


MODELS = {
    "source": {"data": {"name": "mnist", "root": "d"}},
    "tuned": {"start": "source", "training": {"epochs": 3}},
    "scratch": {},
    "given": {"network": {"weights": "a.pt"}},
    "own": {"network": {"name": "my.package:Net"}, "start": "given"},
}


def test_a_training_begins_where_its_model_says() -> None:
    layout = Layout(validated({"models": MODELS}, SCHEMA))
    keys = {name: layout.model_key(model) for name, model in layout.models.items()}
    assert len(set(keys.values())) == 5
    assert {name: layout.start(key, 1) for name, key in keys.items() if name != "given"} == {
        "source": layout.network(Network("source", 1, "initial"), ".safetensors"),
        "tuned": layout.network(Network("source", 1, "last"), ".safetensors"),
        "scratch": layout.network(Network("scratch", 1, "initial"), ".safetensors"),
        "own": layout.network(Network("given", 0, "last"), ".safetensors"),
    }
    assert sorted(layout.data_sets) == sorted(
        {layout.data_key(), layout.data_key(layout.models["source"].data)}
    )
    assert keys["own"].startswith("my_package_Net-")
    other = Layout(
        validated(
            {"models": MODELS | {"source": MODELS["source"] | {"training": {"epochs": 5}}}}, SCHEMA
        )
    )
    for name, key in keys.items():
        same = other.model_key(other.models[name]) == key
        assert same == (name not in ("source", "tuned")), name


def test_a_key_leads_back_to_its_network_and_model() -> None:
    layout = Layout(validated({"stages": ["initial", 3, "best"], "models": MODELS}, SCHEMA))
    for key, network in layout.networks.items():
        assert layout.key(network) == key
        model_key, seed, stage = key.split(".")
        assert layout.models_by_key[model_key].network == layout.models[network.model].network
        assert layout.network(network, ".json").endswith(f"{model_key}/{seed}/{stage}.json")


def test_an_untrained_network_is_shared_by_all_trainings() -> None:
    models = {"long": {}, "short": {"training": {"epochs": 3}}}
    layout = Layout(validated({"stages": ["initial"], "models": models}, SCHEMA))
    initial = {layout.network(Network(name, 0, "initial"), ".json") for name in models}
    assert len(initial) == 1


def test_two_image_folders_are_two_data_sets() -> None:
    folders = [{"data": {"name": "image_folder", "root": root}} for root in ("a", "b")]
    keys = {Layout(validated(config, SCHEMA)).data_key() for config in folders}
    assert len(keys) == 2


def test_a_group_of_other_layers_has_another_key() -> None:
    layout = Layout(validated({}, SCHEMA))
    groups = (["conv1", "conv3"], ["conv1", "conv2", "conv3"], ["conv1"])
    keys = {layout.group(names) for names in groups}
    keys |= {layout.group(["conv1"], of=names) for names in groups[:2]}
    assert len(keys) == 5
    assert layout.group(["conv1", "fc1"]).startswith("conv1-fc1-")
