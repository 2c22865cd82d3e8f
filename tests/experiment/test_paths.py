"""A path changes with what decides its content, and with nothing else."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from experiment.plans import paths_of

from subspace_match.experiment.code_inputs import LISTING, Code
from subspace_match.experiment.comparisons import Network

BELOW_MATCH = {"measures", "certificates", "minimal", "null", "experiment"}
BELOW_EXTRACTION = {"activations", "top_images", "match", *BELOW_MATCH}
HEAT_MAPS = {"heat_map", "within_network", "experiment"}
BELOW_HEAT_MAP_ACTIVATIONS = {"heat_map_activations", *HEAT_MAPS}
BELOW_NETWORK = {"network", *BELOW_EXTRACTION, *BELOW_HEAT_MAP_ACTIVATIONS}
BELOW_DATA = {"initial", "layers", *BELOW_NETWORK}


def pretrained(weights: str) -> Any:
    """Configure a pretrained and a trained model."""
    network = {"name": "torchvision:vgg11", "weights": weights}
    compare = [{"models": ["pretrained", "trained"], "seeds": "all"}]
    return {"models": {"pretrained": {"network": network}, "trained": {}}, "compare": compare}


def paths(code: Mapping[str, str] | None = None, **changes: object) -> dict[str, str]:
    paths = paths_of(changes, code)
    model = next(iter(paths.models))
    a, b = (Network(model, seed, "last") for seed in (0, 1))
    keys = paths.key(a), paths.key(b)
    group = paths.group(["conv1"])
    return {
        "data": paths.data("images"),
        "initial": paths.network(Network(model, 0, "initial"), ".safetensors"),
        "network": paths.network(a, ".safetensors"),
        "activations": paths.activations(keys[0]),
        "heat_map_activations": paths.heat_map_activations(keys[0]),
        "top_images": paths.top_images(keys[0]),
        "match": paths.match(*keys, group, "path"),
        "measures": paths.measures(*keys, group),
        "certificates": paths.certificates(*keys, group),
        "minimal": paths.minimal(*keys, group, 0.3),
        "null": paths.null(*keys, group),
        "heat_map": paths.heat_map(*keys),
        "within_network": paths.within_network(keys[0]),
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
        ({"data": {"train_images": 99}}, {"data", *BELOW_DATA}),
        ({"data": {"random_labels": 0.5}}, {"data", *BELOW_DATA}),
        ({"data": {"shortcut": 0}}, {"data", *BELOW_DATA}),
        ({"training": {"noise": 0.1}}, BELOW_NETWORK),
        ({"network": {"width": 1}}, BELOW_DATA),
        ({"training": {"epochs": 3}}, BELOW_NETWORK),
        ({"stages": ["last", 3]}, BELOW_NETWORK),
        ({"threads": 2}, BELOW_NETWORK),
        ({"extraction": {"positions": 5}}, BELOW_EXTRACTION),
        ({"extraction": {"draws": 2}}, BELOW_EXTRACTION),
        (
            {"extraction": {"nodes": "convolution"}},
            {*BELOW_EXTRACTION, *BELOW_HEAT_MAP_ACTIVATIONS, "layers"},
        ),
        ({"matching": {"chunk_samples": 100}}, {"match", *BELOW_MATCH, *HEAT_MAPS}),
        ({"chance": {"permutations": 19}}, {"null", "experiment"}),
        ({"heat_map": {"positions": 5}}, BELOW_HEAT_MAP_ACTIVATIONS),
        ({"heat_map": {"within_networks": True}}, {"experiment"}),
        ({"minimal_matches": {"epsilons": [0.5]}}, {"experiment"}),
        ({"minimal_matches": {"orders": 10}}, {"minimal", "experiment"}),
        ({"matching": {"epsilons": [0.1]}}, {"certificates", "experiment"}),
        ({"matching": {"layers": ["fc*"]}}, {"experiment"}),
        ({"seeds": [0, 1, 2]}, {"experiment"}),
        ({"stages": ["initial", "best", "last"]}, {"experiment"}),
        ({"compare": [{"seeds": "all"}]}, set()),
        ({"models": {"base": {}}}, set()),
        # Tables contain the name of the model.
        ({"models": {"renamed": {}}}, {"experiment"}),
        ({"models": {"base": {}, "other": {"network": {"width": 1}}}}, {"experiment"}),
        ({"seeds": [1, 0]}, set()),
        ({"matching": {"epsilons": [0.5, 0.3, 0.25, 0.2, 0.15]}}, set()),
        # The record of the plot job names all formats.
        ({"figures": {"formats": ["svg"]}}, {"experiment"}),
        ({"figures": {"formats": ["png", "svg"]}}, set()),
        ({"device": "cpu"}, set()),
        ({"data": {"workers": 0}}, set()),
    ],
)
def test_a_changed_key_changes_the_paths_that_it_decides(changes: dict, affected: set[str]) -> None:
    assert changed(**changes) == affected


@pytest.mark.parametrize(
    ("script", "affected"),
    [
        ("prepare_data", {"data", *BELOW_DATA}),
        ("initialise", {"initial"}),
        ("train", BELOW_NETWORK),
        ("load_pretrained", set()),
        ("extract", {*BELOW_EXTRACTION, *BELOW_HEAT_MAP_ACTIVATIONS}),
        ("top_images", {"top_images", "experiment"}),
        ("match", {"match", *BELOW_MATCH}),
        ("certify", {"certificates", "experiment"}),
        ("measure", {"measures", "experiment"}),
        ("minimal_match", {"minimal", "experiment"}),
        ("null", {"null", "experiment"}),
        ("heat_map", {"heat_map", "experiment"}),
        ("within_network", {"within_network", "experiment"}),
        ("aggregate", {"experiment"}),
        ("plot", {"experiment"}),
        ("report", {"experiment"}),
        (LISTING, {"layers"}),
    ],
)
def test_the_code_of_a_script_is_part_of_the_paths_of_its_results_and_all_below(
    script: str, affected: set[str]
) -> None:
    assert changed({script: "1"}) == affected


def test_the_code_of_every_script_is_part_of_a_path() -> None:
    config = pretrained("IMAGENET1K_V1")
    for script in Code().names:
        edited = {script: "1"}
        moved = paths_of(config, edited).experiment("") != paths_of(config).experiment("")
        assert changed(edited) or moved, script


@pytest.mark.parametrize(
    ("config", "source"),
    [
        ({"data": {"name": "cifar10", "root": "d"}}, "data cifar10 d"),
        ({"data": {"name": "image_folder", "root": "d"}}, "data image_folder d"),
        ({"models": {"m": {"data": {"name": "mnist", "root": "e"}}}}, "data mnist e"),
        ({"network": {"name": "my.net:Net"}}, "module my.net:Net"),
        (pretrained("w.pt"), "weights w.pt"),
        # A network of the user's own that is trained further from another model.
        (
            {"models": {"a": {}, "b": {"network": {"name": "my.net:Net"}, "start": "a"}}},
            "module my.net:Net",
        ),
    ],
)
def test_the_content_of_the_users_own_files_is_part_of_the_paths(config: Any, source: str) -> None:
    before, after = paths_of(config), paths_of(config, contents={source: "1"})
    assert after.experiment("") != before.experiment("")
    assert set(after.networks) != set(before.networks)


@pytest.mark.parametrize(
    "configs",
    [
        [{"data": {"name": "image_folder", "root": root}} for root in ("a", "b")],
        [pretrained(weights) for weights in ("a.pt", "b.pt")],
    ],
)
def test_the_location_of_the_users_own_files_is_not_part_of_the_paths(configs: list[Any]) -> None:
    one, other = map(paths_of, configs)
    assert one.experiment("") == other.experiment("")
    assert list(one.networks) == list(other.networks)


@pytest.mark.parametrize(
    "name",
    ["plain", "my--model", "models--google--vit", "-model-", "long" * 60, "\u6f22\u5b57" * 60],
)
def test_every_name_of_a_network_fits_in_paths(name: str) -> None:
    """Two keys are found again in the name of their pair, and file systems allow 255 bytes."""
    paths = paths_of({"network": {"name": f"transformers:folder/{name}"}, "seeds": [1, 2**32 - 1]})
    (pair,) = paths.pairs
    a, b = paths.key(pair.a), paths.key(pair.b)
    file = Path(paths.heat_map(a, b))
    # As in the Snakefile.
    network = r"((?!--)[\w.-])+"
    found = re.fullmatch(rf"(?P<a>{network})--(?P<b>{network})\.npz", file.name)
    assert found is not None
    assert (found["a"], found["b"]) == (a, b)
    assert re.fullmatch(r"[\w-]+-[0-9a-f]{10}", a.split(".")[0])
    temporary = f".{paths.record(file.name)}.{16 * '0'}.partial"
    assert len(temporary.replace(".last", ".initial").encode()) <= 255


def test_the_order_of_comparisons_decides_only_the_tables() -> None:
    entries = [{"stages": ["initial", "last"], "seeds": "same"}, {"stages": ["last", "last"]}]
    both = {"stages": ["initial", "last"]}
    one, other = (paths(**both, compare=order) for order in (entries, entries[::-1]))
    assert {name for name in one if one[name] != other[name]} == {"experiment"}


MODELS = {
    "source": {"data": {"name": "mnist", "root": "d"}},
    "tuned": {"start": "source", "training": {"epochs": 3}},
    "scratch": {},
    "pretrained": {"network": {"weights": "a.pt"}},
    "own": {"network": {"name": "my.package:Net"}, "start": "pretrained"},
}


def test_a_training_starts_from_the_network_of_its_configuration() -> None:
    paths = paths_of({"models": MODELS})
    keys = {name: paths.model_key(model) for name, model in paths.models.items()}
    assert len(set(keys.values())) == 5
    assert {name: paths.start(key, 1) for name, key in keys.items() if name != "pretrained"} == {
        "source": None,
        "tuned": paths.network(Network("source", 1, "last"), ".safetensors"),
        "scratch": None,
        "own": paths.network(Network("pretrained", 0, "last"), ".safetensors"),
    }
    assert sorted(paths.data_sets) == sorted(
        {paths.data_key(), paths.data_key(paths.models["source"].data)}
    )
    assert keys["own"].startswith("my_package_Net-")
    longer = MODELS["source"] | {"training": {"epochs": 6}}
    other = paths_of({"models": MODELS | {"source": longer}})
    for name, key in keys.items():
        same = other.model_key(other.models[name]) == key
        assert same == (name not in ("source", "tuned")), name


def test_a_key_identifies_its_network_and_model() -> None:
    paths = paths_of({"stages": ["initial", 3, "best"], "models": MODELS})
    for key, network in paths.networks.items():
        assert paths.key(network) == key
        model_key, seed, stage = key.split(".")
        assert paths.models_by_key[model_key].network == paths.models[network.model].network
        assert paths.network(network, ".json").endswith(f"{model_key}/{seed}/{stage}.json")


@pytest.mark.parametrize(
    ("changes", "moved"),
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
def test_the_list_of_layers_has_another_path_if_what_decides_it_changes(
    changes: dict, moved: set[str]
) -> None:
    """A fine-tuned network sees images of the same size as the one it starts from."""
    models: dict = {"source": {}, "tuned": {"start": "source"}, "scratch": {}}
    models = {name: own | changes.get("models", {}).get(name, {}) for name, own in models.items()}
    before = paths_of({"models": {"source": {}, "tuned": {"start": "source"}, "scratch": {}}})
    after = paths_of(changes | {"models": models})
    assert {name for name in models if before.layers(name) != after.layers(name)} == moved


def test_the_list_of_layers_has_another_path_with_another_torchvision(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = paths()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99.0")
    after = paths()
    assert {name for name in before if before[name] != after[name]} == {"layers"}


def test_all_trainings_share_the_untrained_networks() -> None:
    models = {"long": {}, "short": {"training": {"epochs": 3}}}
    paths = paths_of({"stages": ["initial"], "models": models})
    initial = {paths.network(Network(name, 0, "initial"), ".json") for name in models}
    assert len(initial) == 1


def test_groups_of_different_layers_have_different_keys() -> None:
    paths = paths_of({})
    groups = (["conv1", "conv3"], ["conv1", "conv2", "conv3"], ["conv1"])
    keys = {paths.group(names) for names in groups}
    keys |= {paths.group(["conv1"], of=names) for names in groups[:2]}
    assert len(keys) == 5
    assert paths.group(["conv1", "fc1"]).startswith("conv1-fc1-")
    part = paths.group(["conv1", "fc1"], of=["conv1", "conv2", "fc1"])
    assert part.startswith("conv1-fc1-2of3-")
