"""The plan of every configuration of the project and of small ones, without Snakemake."""

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from experiment.plans import plan_of
from hypothesis import given
from hypothesis import strategies as st

from subspace_match.experiment.code_inputs import PROJECT
from subspace_match.experiment.null_work import jobs_of_equal_work
from subspace_match.experiment.plan import LAYERS_PER_JOB, PairKey, Plan
from subspace_match.experiment.resources import JobResources
from subspace_match.figures.registry import figure_names
from subspace_match.results.registry import TABLES

EXPERIMENTS = sorted(file.stem for file in (PROJECT / "config").glob("*.yaml"))
SMALL: dict[str, Any] = {"network": {"width": 0.05, "hidden": [6]}}
DEEP: dict[str, Any] = {"network": {"name": "vgg16_bn", "width": 0.05, "hidden": [6]}}
CIFAR = {"name": "cifar10", "root": "cifar"}
# Snakemake's object for a job's inputs.
ONE_GB = SimpleNamespace(size_mb=1000)
PAIRS = {
    "gpt_text": 1,
    "vit_fashion_mnist": 1,
    "config": 1,
    "stages": 4 + 2 * 3,
    "grounding": 4 * 3 // 2,
    # Two different seeds of three models.
    **dict.fromkeys(
        [f"grounding_{name}" for name in ("labels", "augmentation", "shortcut")], 3 + 3 * 2
    ),
    "grounding_outputs": 8 * 7 // 2,
    "grounding_layers": 1,
    "transfer": 2 + 1 + 4 - 2 + 1,
    "untrained": 1 + 1,
    "vgg16_imagenet": 1,
}


def read(name: str) -> dict[str, Any]:
    own: dict[str, Any] = yaml.safe_load((PROJECT / "config" / f"{name}.yaml").read_text())
    return own


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that keeps the lists of layers."""
    return tmp_path_factory.mktemp("results")


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "config"])
def test_a_file_of_an_experiment_holds_only_what_differs(name: str) -> None:
    default, own = read("config"), read(name)
    if name == "stages":
        own.pop("seeds")  # it can be combined with an experiment of more seeds
    same = [
        (section, key)
        for section, values in own.items()
        for key, value in (values.items() if isinstance(values, dict) else [(None, values)])
        if (default[section].get(key) if key else default[section]) == value
    ]
    assert same == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_of_the_project_can_be_planned(name: str, results: Path) -> None:
    plan = plan_of(read(name), results)
    assert plan.warnings == []
    assert len(plan.pairs) == PAIRS.get(name, 3)
    keys = [(pair["network_a"], pair["network_b"]) for pair in plan.pairs]
    assert keys == list(plan.layers) == list(plan.groups)
    for pair, groups in plan.groups.items():
        in_groups = sorted(layer for group in groups.values() for layer in group)
        assert in_groups == sorted(layer.name for layer in plan.layers[pair])
        assert max(map(len, groups.values())) <= LAYERS_PER_JOB
    jobs = sum(map(len, plan.groups.values()))
    assert len(set(plan.of_groups(plan.paths.match, "path.npz"))) == jobs
    permutations, positions = plan.config["chance"]["permutations"], plan.config["heat_map"]
    in_nulls = [
        layer for own in plan.null_groups.values() for names in own.values() for layer in names
    ]
    assert len(in_nulls) == (sum(map(len, plan.layers.values())) if permutations else 0)
    assert len(plan.nulls) == sum(map(len, plan.null_groups.values()))
    assert len(plan.heat_maps) == (len(plan.pairs) if positions["positions"] else 0)
    assert len(plan.minimal_matches) == jobs * len(plan.config["minimal_matches"]["epsilons"])


def wildcards_of_jobs(plan: Plan) -> dict[str, list[SimpleNamespace]]:
    """Return the wildcards of all jobs that ask for resources, by method name."""
    groups, minimal, null = (
        [SimpleNamespace(a=a, b=b, group=group) for (a, b), own in kind.items() for group in own]
        for kind in (plan.groups, plan.minimal_groups, plan.null_groups)
    )
    together = [
        SimpleNamespace(networks=key, group=group)
        for key, groups in plan.together_groups.items()
        for group in groups
    ]
    models = [m for m in plan.paths.models.values() if not m.pretrained]
    return {
        "train_mb": [SimpleNamespace(model=plan.paths.model_key(model)) for model in models],
        **{
            name: [SimpleNamespace(network=key) for key in plan.networks]
            for name in ("extract_mb", "top_images_mb", "within_network_mb")
        },
        **dict.fromkeys(("match_mb", "one_layer_mb"), groups),
        **dict.fromkeys(("match_work", "certify_work", "measure_work"), groups),
        **dict.fromkeys(("null_mb", "null_work"), null),
        **dict.fromkeys(("minimal_match_mb", "minimal_match_work"), minimal),
        "heat_map_mb": [SimpleNamespace(a=a, b=b) for a, b in plan.layers],
        **{name: together for name in ("consensus_mb", "consensus_work") if together},
    }


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_job_asks_for_memory_and_time_and_for_more_at_a_retry(
    name: str, results: Path
) -> None:
    plan = plan_of(read(name), results)
    resources = JobResources(plan)
    for method, jobs in wildcards_of_jobs(plan).items():
        ask = getattr(resources, method)
        for wildcards in jobs:
            if method.endswith("_work"):
                minutes = resources.minutes(20, ask)
                assert 20 <= minutes(wildcards, 1) < 24 * 60, method
                assert minutes(wildcards, 3) == 3 * minutes(wildcards, 1)
                continue
            inputs = [ONE_GB] if method in ("train_mb", "extract_mb") else []
            asked = ask(wildcards, *inputs, 1)
            assert asked % 500 == 0
            assert 2000 <= asked < 128_000, method
            assert ask(wildcards, *inputs, 2) == 2 * asked


def test_memory_of_the_default_experiment(results: Path) -> None:
    """Up to 256 neurons per side; 76,032 activations per image, in batches of 128 and 250."""
    plan = plan_of({}, results)
    resources, jobs = JobResources(plan), wildcards_of_jobs(plan)
    assert resources.gpu == 1
    five_mb = SimpleNamespace(size_mb=5.0)
    inputs = {"train_mb": [five_mb], "extract_mb": [five_mb]}
    asked = {
        name: getattr(resources, name)(own[0], *inputs.get(name, []), 1)
        for name, own in jobs.items()
        if name.endswith("_mb")
    }
    assert asked == dict.fromkeys(asked, 2500) | {
        "extract_mb": 3000,
        "null_mb": 3000,
        "heat_map_mb": 3000,
        "within_network_mb": 3000,
    }
    assert JobResources(plan_of({"device": "cpu"}, results)).gpu == 0


def test_wide_layers_ask_for_the_memory_of_their_matrices(results: Path) -> None:
    """12 matrices of (4096 + 4096)^2 float64 numbers are 6.4 GB, 16 are 8.6 GB."""
    plan = plan_of(read("vgg16_imagenet"), results)
    resources = JobResources(plan)
    (pair,) = plan.groups
    (group,) = (key for key, names in plan.groups[pair].items() if "fc2" in names)
    wildcards = SimpleNamespace(a=pair[0], b=pair[1], group=group)
    assert resources.one_layer_mb(wildcards, 1) == 2000 + 6500
    assert (
        resources.minimal_match_mb(
            SimpleNamespace(a=pair[0], b=pair[1], group=next(iter(plan.minimal_groups[pair]))), 1
        )
        == 2000 + 9000
    )


def test_a_fully_connected_layer_asks_for_what_all_images_take(results: Path) -> None:
    """It is extracted at every image, however few positions there are."""
    changes = {
        "network": {"width": 1, "hidden": [4096]},
        "matching": {"layers": ["fc1"]},
        "minimal_matches": {"layers": []},
        "chance": {"permutations": 19},
        "extraction": {"positions": 10},
    }
    asked = []
    for data in ({"test_fraction": 0.02}, {"name": "mnist", "root": "mnist"}):
        plan = plan_of(changes | {"data": data}, results)
        resources, jobs = JobResources(plan), wildcards_of_jobs(plan)
        runtime = resources.minutes(20, resources.null_work)(jobs["null_work"][0], 1)
        null, top = (
            getattr(resources, name)(jobs[name][0], 1) for name in ("null_mb", "top_images_mb")
        )
        asked.append((null, top, runtime))
    few, many = asked
    # 100 and 10,000 images: 0.3 GB of float64 for one side's samples.
    assert many[0] >= few[0] + 500
    assert many[1] >= few[1] + 500
    assert many[2] > few[2]


def test_a_wide_layer_asks_for_more_memory_and_time(results: Path) -> None:
    asked = []
    for layers in ("conv*", "fc1"):
        changes = {
            "network": {"width": 1, "hidden": [4096]},
            "matching": {"layers": [layers]},
            "minimal_matches": {"layers": [layers]},
            "chance": {"permutations": 19},
        }
        plan = plan_of(changes, results)
        resources, jobs = JobResources(plan), wildcards_of_jobs(plan)
        asked.append(
            {
                name: getattr(resources, name)(own[0], *([1] if name.endswith("_mb") else []))
                for name, own in jobs.items()
                if name.startswith(("match", "one_layer", "minimal", "null", "certify", "measure"))
            }
        )
    narrow, wide = asked
    for name in wide:
        if name.endswith("_mb"):
            # The moments of two networks with 4,096 neurons each are half a gigabyte.
            assert wide[name] > narrow[name] + 10 * 512, name
        else:
            assert wide[name] > narrow[name], name


def test_workers_that_read_image_files_ask_for_memory(results: Path) -> None:
    images = {"name": "imagenet", "root": "r", "image_size": 64}
    asked = [
        JobResources(plan).extract_mb(SimpleNamespace(network=next(iter(plan.networks))), ONE_GB, 1)
        for workers in (0, 4)
        for plan in [plan_of(SMALL | {"data": images | {"workers": workers}}, results)]
    ]
    assert asked[1] - asked[0] == 4000


def test_layers_are_divided_into_groups_of_equal_work(results: Path) -> None:
    plan = plan_of(DEEP, results)
    (groups,) = plan.groups.values()
    assert list(groups.values()) == [
        ["conv1", "conv3", "conv5", "conv7", "conv9", "conv11", "conv13"],
        ["conv2", "conv4", "conv6", "conv8", "conv10", "conv12", "fc1"],
    ]
    pattern = re.compile(r"[a-z]+\d+-[a-z]+\d+-[0-9a-f]{10}")
    assert all(pattern.fullmatch(key) for key in groups)


def test_minimal_matches_are_found_in_the_layers_that_fit_their_patterns(results: Path) -> None:
    chosen = {"layers": ["conv[12]", "conv3"], "epsilons": [0.2, 0.4]}
    plan = plan_of(DEEP | {"minimal_matches": chosen}, results)
    (pair,) = plan.groups
    found = plan.minimal_groups[pair]
    assert list(found.values()) == [["conv1", "conv3"], ["conv2"]]
    assert len(plan.minimal_matches) == 4
    for (key, names), group in zip(found.items(), plan.groups[pair], strict=True):
        assert_part(plan, pair, key, names, group)
    none = plan_of(SMALL | {"minimal_matches": {"layers": []}}, results)
    assert none.minimal_matches == []


def test_nulls_take_longer_and_get_smaller_jobs_of_equal_work(results: Path) -> None:
    plan = plan_of({}, results)
    (pair,), (groups,) = plan.groups, plan.groups.values()
    (group,) = groups
    found = plan.null_groups[pair]
    assert list(found.values()) == [
        ["conv2", "conv5"],
        ["conv1", "conv6"],
        ["conv3", "conv7", "fc1"],
        ["conv4", "conv8", "fc2"],
    ]
    for key, names in found.items():
        assert_part(plan, pair, key, names, group)
    assert len(plan.nulls) == 4
    assert plan_of(SMALL | {"chance": {"permutations": 0}}, results).nulls == []


@pytest.mark.parametrize(
    ("data", "samples"),
    [
        ({}, {"conv1": 10_000, "conv7": 4000, "fc1": 1000}),
        ({"test_images": 100}, {"conv1": 10_000, "conv7": 400, "fc1": 100}),
        (CIFAR, {"conv1": 10_000, "conv7": 10_000, "fc1": 10_000}),
        # Files are not counted, since a path must not depend on where they lie.
        ({"name": "image_folder", "root": "photos"}, {"conv7": 10_000, "fc1": 10_000}),
    ],
)
def test_nulls_are_divided_by_the_samples_that_layers_can_have(
    data: dict[str, Any], samples: dict[str, int], results: Path
) -> None:
    plan = plan_of({}, results)
    (layers,) = plan.layers.values()
    plan.config["data"] |= data
    found = {layer.name: plan._most_samples(layer) for layer in layers}
    assert found | samples == found


def test_layers_of_several_groups_have_nulls_beside_their_matches(results: Path) -> None:
    plan = plan_of(DEEP | {"chance": {"permutations": 19}}, results)
    (pair,) = plan.groups
    found = plan.null_groups[pair]
    assert list(found.values()) == list(plan.groups[pair].values())  # narrow layers take little
    for (key, names), group in zip(found.items(), plan.groups[pair], strict=True):
        assert_part(plan, pair, key, names, group)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.floats(1, 50))
def test_jobs_have_equal_work_as_far_as_their_layers_allow(sizes: list[float], most: float) -> None:
    """Graham's bound: no job has more than the mean and one layer; none is empty."""
    work = {f"conv{number}": size for number, size in enumerate(sizes)}
    jobs = jobs_of_equal_work(work, most)
    assert sorted(name for job in jobs for name in job) == sorted(work)
    loads = [sum(work[name] for name in job) for job in jobs]
    assert min(loads) > 0
    assert max(loads) <= sum(sizes) / len(jobs) + max(sizes) + 1e-9
    assert len(jobs) == min(len(work), max(1, math.ceil(sum(sizes) / most)))
    for job in jobs:
        assert job == sorted(job, key=list(work).index)


def assert_part(plan: Plan, pair: PairKey, key: str, names: list[str], group: str) -> None:
    """Assert that a job of some layers reads the matches of the group that holds them."""
    wildcards = SimpleNamespace(a=pair[0], b=pair[1], group=key)
    assert plan.group(wildcards) == names
    assert set(names) <= set(plan.groups[pair][group])
    assert plan.match_file("path.npz")(wildcards) == plan.paths.match(*pair, group, "path.npz")


def test_a_layer_is_selected_by_its_name_or_its_node(results: Path) -> None:
    plan = plan_of(SMALL | {"matching": {"layers": ["conv1", "fc1.*"]}}, results)
    (layers,) = plan.layers.values()
    assert [layer.name for layer in layers] == ["conv1", "fc1"]


def test_patterns_that_fit_no_layer_are_an_error_and_a_single_one_a_warning(results: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"^config: matching\.layers: expected patterns that fit a layer, found \['conv99'\];"
        r" the layers are conv1, conv2, .*fc1$",
    ):
        plan_of(SMALL | {"matching": {"layers": ["conv99"]}}, results)
    plan = plan_of(SMALL | {"matching": {"layers": ["conv1", "relu1"]}}, results)
    (warning,) = plan.warnings
    assert warning.startswith(
        "config: matching.layers: 'relu1' fits no layer; the layers are conv1, conv2, "
    )
    with pytest.raises(ValueError, match=r"minimal_matches\.layers: .* the layers are conv1$"):
        plan_of(
            SMALL | {"matching": {"layers": ["conv1"]}, "minimal_matches": {"layers": ["fc1"]}},
            results,
        )


def test_layers_of_only_one_network_are_a_warning_and_in_the_record_of_the_pair(
    results: Path,
) -> None:
    models = {"short": {}, "long": {"network": {"name": "vgg13_bn"}}}
    compare = [{"models": ["short", "long"], "seeds": "same"}]
    plan = plan_of(SMALL | {"seeds": [0], "models": models, "compare": compare}, results)
    (pair,), (warning,) = plan.pairs, plan.warnings
    assert "conv9" in pair["left_out"]
    assert warning.startswith(f"{pair['network_a']} and {pair['network_b']}: not matched, as the")
    assert warning.endswith(": " + ", ".join(pair["left_out"]))


SHARED = {"sgd": {}, "adam": {"training": {"optimizer": "adamw"}}}


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        ({}, ["sgd initial", "sgd last", "adam last"]),
        ({"models": ["sgd", "adam"]}, ["sgd initial", *["sgd last to adam last"] * 2]),
        (
            {"models": ["sgd", "adam"], "seeds": "same"},
            ["sgd last to adam last, same seed"] * 2,
        ),
        (
            {"models": ["adam", "adam"], "seeds": "same", "stages": "last"},
            ["sgd initial to adam last, same seed"] * 2,
        ),
        (
            {"models": ["sgd", "adam"], "seeds": "all", "stages": ["initial", "initial"]},
            ["sgd initial"],
        ),
    ],
)
def test_an_untrained_network_of_two_models_is_one_network_with_one_name(
    results: Path, compare: dict[str, Any], expected: list[str]
) -> None:
    """The training does not decide it, so both have the same key."""
    stages: dict[str, Any] = {"stages": ["initial", "last"], "compare": [compare]}
    plan = plan_of(SMALL | {"models": SHARED} | stages, results)
    assert [pair["comparison"] for pair in plan.pairs] == expected
    keys = {(pair["network_a"], pair["network_b"]) for pair in plan.pairs}
    assert len(keys) == len(plan.pairs)
    assert all(a != b for a, b in keys)
    own = ("model", "seed", "stage")
    for pair in plan.pairs:
        for side in "ab":
            network = plan.networks[pair[f"network_{side}"]]
            assert [network[name] for name in own] == [pair[f"{name}_{side}"] for name in own]
    (warning,) = plan.warnings
    assert warning == (
        "adam: its networks of the stage initial are those of sgd: compared once, as sgd"
    )


def test_models_with_equal_settings_have_the_same_networks(results: Path) -> None:
    models = {"one": {}, "other": {"training": {"epochs": 5}}}  # the default
    compare = [{"models": ["one", "other"], "seeds": "same"}]
    with pytest.raises(ValueError, match=r"compare\.0: .*equal settings have the same networks"):
        plan_of(SMALL | {"models": models, "compare": compare}, results)
    compare = [{"models": ["one", "other"]}]
    plan = plan_of(SMALL | {"models": models, "compare": compare}, results)
    assert [pair["comparison"] for pair in plan.pairs] == ["one last"]


def test_a_comparison_without_pairs_is_an_error(results: Path) -> None:
    with pytest.raises(ValueError, match=r"^compare\.0: expected at least one pair of networks"):
        plan_of(SMALL | {"seeds": [0]}, results)


def test_the_record_of_a_pair_names_model_seed_and_stage_of_both_networks(results: Path) -> None:
    plan = plan_of(SMALL | {"stages": ["initial", 2], "compare": [{"stages": "last"}]}, results)
    first = plan.pairs[0]
    assert first == {
        "network_a": first["network_a"],
        "network_b": first["network_b"],
        "comparison": "initial to epoch 2",
        "left_out": [],
        **{"model_a": "base", "seed_a": 0, "stage_a": "initial"},
        **{"model_b": "base", "seed_b": 1, "stage_b": "2"},
    }
    assert plan.networks[first["network_b"]] == {"model": "base", "seed": 1, "stage": "2"}
    assert plan.stages == ["epoch_2", "best", "last"]


def test_tables_and_figures_have_one_file_per_format(results: Path) -> None:
    plan = plan_of(SMALL, results)
    names = {f"{name}_{suffix}" for name, own in TABLES.items() for suffix in own}
    assert set(plan.tables) == {*names, "metrics", "config"}
    assert Path(plan.table("summary")).name == "summary.parquet"
    assert Path(plan.table("networks")).name == "networks.csv"
    figures = [Path(figure).name for figure in plan.figures]
    assert {"heat_map.svg", "heat_map.png"} <= set(figures)
    assert len(set(figures)) == 2 * len(figure_names(1))
    several = plan_of(SMALL | {"stages": ["initial", "last"]}, results)
    assert {Path(figure).stem for figure in several.figures} == {*figure_names(2)}
    assert "stages" in figure_names(2)
    assert "stages" not in figure_names(1)


MODELS = {
    "source": {"data": {"split_seed": 5}},
    "tuned": {"start": "source"},
    "loaded": {"network": {"name": "my.net:Net", "weights": "w.pt", "mean": [0.1], "std": [0.3]}},
}


@pytest.fixture
def several(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan with trained, fine-tuned and pretrained models, one in a module of the user's own."""
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "net.py").write_text(
        "from torch import nn\n\n\n"
        "def Net():\n    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    compare = [
        {"models": ["source", "tuned"], "seeds": "same"},
        {"models": ["tuned", "loaded"], "seeds": "all"},
    ]
    return plan_of(SMALL | {"models": MODELS, "compare": compare}, results)


def test_wildcard_patterns_fit_the_keys_of_their_models(several: Plan) -> None:
    paths = several.paths
    keys = {name: paths.model_key(model) for name, model in paths.models.items()}
    assert set(several.models(paths.model_key).split("|")) == {keys["source"], keys["tuned"]}
    assert several.models(paths.model_key, pretrained=True) == keys["loaded"]
    initial = {paths.initial_key(paths.models[name]) for name in ("source", "tuned")}
    assert set(several.models(paths.initial_key).split("|")) == initial


def test_the_pattern_of_no_model_fits_nothing(results: Path) -> None:
    plan = plan_of(SMALL, results)
    pattern = plan.models(plan.paths.model_key, pretrained=True)
    assert not re.match(pattern, "")
    assert not re.match(pattern, "vgg11_bn-0123456789")


def test_rules_look_up_what_a_job_needs_by_its_wildcards(several: Plan) -> None:
    paths = several.paths
    jobs = {
        name: SimpleNamespace(model=paths.model_key(model), seed="1")
        for name, model in paths.models.items()
    }
    tuned = jobs["tuned"]
    assert several.start(tuned) == [paths.start(tuned.model, 1)]
    assert several.section("training")(tuned) == paths.models["tuned"].training
    assert several.section("network")(jobs["loaded"])["weights"] == "w.pt"
    assert several.section("data")(jobs["source"])["split_seed"] == 5
    key = paths.data_key(paths.models["source"].data)
    assert several.training_data_file("data.json")(jobs["source"]) == paths.data("data.json", key)
    assert several.data_settings(SimpleNamespace(data=key))["split_seed"] == 5
    assert "root" not in several.data_settings(SimpleNamespace(data=key))
    assert several.image_shape(tuned) == {"channels": 1, "classes": 10}
    (loaded,) = (key for key, each in several.networks.items() if each["model"] == "loaded")
    assert several.network_file(".json")(SimpleNamespace(network=loaded)).endswith("last.json")
    (layer,) = several.planned_layers(SimpleNamespace(network=loaded))
    assert layer["neurons"] == 4


def test_a_job_names_the_users_own_files_that_it_reads(several: Plan, results: Path) -> None:
    paths = several.paths
    loaded = SimpleNamespace(model=paths.model_key(paths.models["loaded"]))
    (network,) = (key for key, each in several.networks.items() if each["model"] == "loaded")
    assert several.pretrained_sources(loaded) == ["module my.net:Net", "weights w.pt"]
    assert several.module_sources(loaded) == ["module my.net:Net"]
    assert several.extraction_sources(SimpleNamespace(network=network)) == ["module my.net:Net"]
    assert several.image_sources == []
    images = {"name": "imagenet", "root": "r", "image_size": 64}
    for data, read_by_jobs in ((images, ["data imagenet r"]), (CIFAR, [])):
        plan = plan_of(SMALL | {"data": data}, results)
        model = SimpleNamespace(model=plan.paths.model_key(plan.paths.models["base"]))
        assert plan.training_sources(model) == plan.image_sources == read_by_jobs
        # A small data set is read once, when it is prepared.
        key = SimpleNamespace(data=plan.paths.data_key())
        assert plan.data_sources(key) == [f"data {data['name']} {data['root']}"]
