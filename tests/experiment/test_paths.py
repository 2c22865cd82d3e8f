"""A path changes with what decides its content, and with nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest

from subspace_match.experiment.code_inputs import LISTING, Code
from subspace_match.experiment.comparisons import Network
from subspace_match.experiment.config import validated
from subspace_match.experiment.paths import Origins, Paths

BELOW_MATCH = {"measures", "certificates", "minimal", "null", "experiment"}
BELOW_RECORDING = {"activations", "top_images", "match", *BELOW_MATCH}
BELOW_PLACES = {"places", "heat_map", "experiment"}
BELOW_NETWORK = {"network", *BELOW_RECORDING, *BELOW_PLACES}
BELOW_DATA = {"initial", "layers", *BELOW_NETWORK}


def given(weights: str) -> Any:
    """A configuration of a network whose weights are given and one that is trained."""
    network = {"name": "torchvision:vgg11", "weights": weights}
    compare = [{"models": ["taken", "made"], "seeds": "all"}]
    return {"models": {"taken": {"network": network}, "made": {}}, "compare": compare}


class Same(dict[str, str]):
    """A digest for whatever is asked for, but for what has one of its own."""

    def __missing__(self, key: str) -> str:
        return "0"


def paths_of(
    config: Any, code: Mapping[str, str] | None = None, contents: Mapping[str, str] | None = None
) -> Paths:
    return Paths(validated(config), Origins(Same(code or {}), Same(contents or {})))


def paths(code: Mapping[str, str] | None = None, **changes: object) -> dict[str, str]:
    paths = paths_of(changes, code)
    model = next(iter(paths.models))
    a, b = (Network(model, seed, "last") for seed in (0, 1))
    keys = paths.key(a), paths.key(b)
    group = paths.group(["conv1"])
    return {
        "data": paths.data("images"),
        "initial": paths.start(paths.model_key(paths.models[model]), 0),
        "network": paths.network(a, ".safetensors"),
        "activations": paths.activations(keys[0]),
        "places": paths.places(keys[0]),
        "top_images": paths.top_images(keys[0]),
        "match": paths.match(*keys, group, "path"),
        "measures": paths.measures(*keys, group),
        "certificates": paths.certificates(*keys, group),
        "minimal": paths.minimal(*keys, group, 0.3),
        "null": paths.null(*keys, group),
        "heat_map": paths.heat_map(*keys),
        "experiment": paths.experiment("tables"),
        "layers": paths.layers(model),
    }


def changed(code: Mapping[str, str] | None = None, **changes: object) -> set[str]:
    before, after = paths(), paths(code, **changes)
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
        ({"extraction": {"nodes": "convolution"}}, {*BELOW_RECORDING, *BELOW_PLACES, "layers"}),
        ({"matching": {"chunk_samples": 100}}, {"match", *BELOW_MATCH, "heat_map"}),
        ({"chance": {"permutations": 5}}, {"null", "experiment"}),
        ({"heat_map": {"places": 5}}, BELOW_PLACES),
        ({"minimal_matches": {"epsilons": [0.5]}}, {"experiment"}),
        ({"matching": {"epsilons": [0.1]}}, {"certificates", "experiment"}),
        ({"matching": {"layers": ["fc*"]}}, {"experiment"}),
        ({"seeds": [0, 1, 2]}, {"experiment"}),
        ({"stages": ["initial", "best", "last"]}, {"experiment"}),
        ({"compare": [{"seeds": "all"}]}, set()),
        ({"models": {"base": {}}}, set()),
        # Tables call networks by their model's name.
        ({"models": {"renamed": {}}}, {"experiment"}),
        ({"models": {"base": {}, "other": {"network": {"width": 1}}}}, {"experiment"}),
        ({"seeds": [1, 0]}, set()),
        ({"matching": {"epsilons": [0.5, 0.3, 0.25, 0.2, 0.15]}}, set()),
        # The record of the job that draws names the formats that it drew.
        ({"figures": {"formats": ["svg"]}}, {"experiment"}),
        ({"figures": {"formats": ["png", "svg"]}}, set()),
        ({"device": "cpu"}, set()),
        ({"data": {"root": "elsewhere"}}, set()),
        ({"data": {"workers": 0}}, set()),
        ({"models": {"base": {"data": {"root": "elsewhere"}}}}, set()),
    ],
)
def test_what_a_change_affects(changes: dict, affected: set[str]) -> None:
    assert changed(**changes) == affected


@pytest.mark.parametrize(
    ("script", "affected"),
    [
        ("prepare_data", {"data", *BELOW_DATA}),
        ("initialise", BELOW_DATA - {"layers"}),
        ("train", BELOW_NETWORK),
        ("load_pretrained", set()),
        ("extract", {*BELOW_RECORDING, *BELOW_PLACES}),
        ("top_images", {"top_images", "experiment"}),
        ("match", {"match", *BELOW_MATCH}),
        ("certify", {"certificates", "experiment"}),
        ("measure", {"measures", "experiment"}),
        ("minimal_match", {"minimal", "experiment"}),
        ("null", {"null", "experiment"}),
        ("heat_map", {"heat_map", "experiment"}),
        ("aggregate", {"experiment"}),
        ("plot", {"experiment"}),
        ("report", {"experiment"}),
        (LISTING, {"layers"}),
    ],
)
def test_the_code_of_a_script_is_in_the_path_of_what_it_makes_and_of_all_below(
    script: str, affected: set[str]
) -> None:
    assert changed({script: "1"}) == affected


def test_every_script_of_a_rule_decides_a_path() -> None:
    taken = given("IMAGENET1K_V1")
    for script in Code().names:
        edited = {script: "1"}
        of_given = paths_of(taken, edited).experiment("") != paths_of(taken).experiment("")
        assert changed(edited) or of_given, script


@pytest.mark.parametrize(
    ("config", "source"),
    [
        ({"data": {"name": "cifar10", "root": "d"}}, "data cifar10 d"),
        ({"data": {"name": "image_folder", "root": "d"}}, "data image_folder d"),
        ({"models": {"m": {"data": {"name": "mnist", "root": "e"}}}}, "data mnist e"),
        ({"network": {"name": "my.net:Net"}}, "module my.net:Net"),
        (given("w.pt"), "weights w.pt"),
        # Another network of one's own that goes on from given weights.
        (
            {"models": {"a": {}, "b": {"network": {"name": "my.net:Net"}, "start": "a"}}},
            "module my.net:Net",
        ),
    ],
)
def test_what_the_user_s_own_files_hold_is_in_the_path(config: Any, source: str) -> None:
    before, after = paths_of(config), paths_of(config, contents={source: "1"})
    assert after.experiment("") != before.experiment("")
    assert set(after.networks) != set(before.networks)


@pytest.mark.parametrize(
    "configs",
    [
        [{"data": {"name": "image_folder", "root": root}} for root in ("a", "b")],
        [given(weights) for weights in ("a.pt", "b.pt")],
    ],
)
def test_the_place_of_the_same_content_decides_nothing(configs: list[Any]) -> None:
    one, other = map(paths_of, configs)
    assert one.experiment("") == other.experiment("")
    assert list(one.networks) == list(other.networks)


def test_the_order_of_comparisons_is_that_of_the_tables_rows() -> None:
    entries = [{"stages": ["initial", "last"], "seeds": "same"}, {"stages": ["last", "last"]}]
    both = {"stages": ["initial", "last"]}
    one, other = (paths(**both, compare=order) for order in (entries, entries[::-1]))
    assert {name for name in one if one[name] != other[name]} == {"experiment"}


MODELS = {
    "source": {"data": {"name": "mnist", "root": "d"}},
    "tuned": {"start": "source", "training": {"epochs": 3}},
    "scratch": {},
    "given": {"network": {"weights": "a.pt"}},
    "own": {"network": {"name": "my.package:Net"}, "start": "given"},
}


def test_a_training_begins_where_its_model_says() -> None:
    paths = paths_of({"models": MODELS})
    keys = {name: paths.model_key(model) for name, model in paths.models.items()}
    assert len(set(keys.values())) == 5
    assert {name: paths.start(key, 1) for name, key in keys.items() if name != "given"} == {
        "source": paths.network(Network("source", 1, "initial"), ".safetensors"),
        "tuned": paths.network(Network("source", 1, "last"), ".safetensors"),
        "scratch": paths.network(Network("scratch", 1, "initial"), ".safetensors"),
        "own": paths.network(Network("given", 0, "last"), ".safetensors"),
    }
    assert sorted(paths.data_sets) == sorted(
        {paths.data_key(), paths.data_key(paths.models["source"].data)}
    )
    assert keys["own"].startswith("my_package_Net-")
    longer = MODELS["source"] | {"training": {"epochs": 5}}
    other = paths_of({"models": MODELS | {"source": longer}})
    for name, key in keys.items():
        same = other.model_key(other.models[name]) == key
        assert same == (name not in ("source", "tuned")), name


def test_a_key_leads_back_to_its_network_and_model() -> None:
    paths = paths_of({"stages": ["initial", 3, "best"], "models": MODELS})
    for key, network in paths.networks.items():
        assert paths.key(network) == key
        model_key, seed, stage = key.split(".")
        assert paths.models_by_key[model_key].network == paths.models[network.model].network
        assert paths.network(network, ".json").endswith(f"{model_key}/{seed}/{stage}.json")


@pytest.mark.parametrize(
    ("changes", "listed_anew"),
    [
        ({"data": {"image_size": 64}}, {"source", "tuned", "scratch"}),
        ({"data": {"name": "cifar10", "root": "d"}}, {"source", "tuned", "scratch"}),
        ({"extraction": {"nodes": "block"}}, {"source", "tuned", "scratch"}),
        ({"models": {"source": {"network": {"width": 1}}}}, {"source", "tuned"}),
        ({"models": {"source": {"network": {"weights": "a.pt"}}}}, {"source", "tuned"}),
        ({"models": {"tuned": {"training": {"epochs": 3}}}}, set()),
        ({"models": {"scratch": {"data": {"image_size": 64}}}}, {"scratch"}),
        ({"device": "cpu", "seeds": [5, 6]}, set()),
    ],
)
def test_layers_are_listed_anew_if_what_decides_them_has_changed(
    changes: dict, listed_anew: set[str]
) -> None:
    """What a tuned network sees is what its start sees."""
    models: dict = {"source": {}, "tuned": {"start": "source"}, "scratch": {}}
    models = {name: own | changes.get("models", {}).get(name, {}) for name, own in models.items()}
    before = paths_of({"models": {"source": {}, "tuned": {"start": "source"}, "scratch": {}}})
    after = paths_of(changes | {"models": models})
    assert {name for name in models if before.layers(name) != after.layers(name)} == listed_anew


def test_layers_are_listed_anew_with_another_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which can bring other published weights, of other images."""
    before = paths()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99.0")
    after = paths()
    assert {name for name in before if before[name] != after[name]} == {"layers"}


def test_an_untrained_network_is_shared_by_all_trainings() -> None:
    models = {"long": {}, "short": {"training": {"epochs": 3}}}
    paths = paths_of({"stages": ["initial"], "models": models})
    initial = {paths.network(Network(name, 0, "initial"), ".json") for name in models}
    assert len(initial) == 1


def test_a_group_of_other_layers_has_another_key() -> None:
    paths = paths_of({})
    groups = (["conv1", "conv3"], ["conv1", "conv2", "conv3"], ["conv1"])
    keys = {paths.group(names) for names in groups}
    keys |= {paths.group(["conv1"], of=names) for names in groups[:2]}
    assert len(keys) == 5
    assert paths.group(["conv1", "fc1"]).startswith("conv1-fc1-")
