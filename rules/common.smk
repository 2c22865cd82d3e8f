# Paths and look-ups, no rules.
#
# The configuration is checked before anything reads it. Every path carries a digest of what decides
# its content (subspace_match/layout.py), and the modules that decide it are inputs, so that an edit
# re-runs what depends on it and a touched file does not (Snakemake compares checksums).

import fnmatch
import functools
import os
import sys
from dataclasses import asdict
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# The package of this folder, here and in the jobs, whatever else is installed.
ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
search_path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ.update(PYTHONPATH=os.pathsep.join(search_path))

from subspace_match.config import validated
from subspace_match.datasets import count_test_images, source_of
from subspace_match.imports import file_of_module, modules_of
from subspace_match.layout import Layout
from subspace_match.networks.layer import Layer
from subspace_match.networks.listing import layers_of, shared_layers
from subspace_match.networks.sampling import is_recorded_whole
from subspace_match.provenance import INVOCATION, invocation


def checked(check, *arguments):
    """What a check of the package returns; its complaint as Snakemake's, without a traceback."""
    try:
        return check(*arguments)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def complete(config):
    schema = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text())
    return validated(config, schema)


def code(rule_name):
    """Modules of the package that decide a rule's result, as inputs."""
    modules = modules_of(ROOT / "workflow_scripts" / f"{rule_name}.py")
    # Relative, so that a project that was moved or copied has the inputs that it had; and here, even
    # where results are kept in a storage.
    return [local(os.path.relpath(module)) for module in modules]


def own_code(model_key):
    """The module of a user's own network, as an input."""
    return [local(file) for file in file_of_module(LAYOUT.models_by_key[model_key].network["name"])]


def keys_of(models):
    """A wildcard's pattern: the keys of these models, or what no key matches."""
    return "|".join(sorted(models)) or "(?!)"


def data_of(wildcards):
    """The key of the data set that a model learns from."""
    return LAYOUT.data_key(LAYOUT.models_by_key[wildcards.model].data)


def weights_file(wildcards):
    """The file of given weights, if they are not published ones that have but a name."""
    weights = LAYOUT.models_by_key[wildcards.model].network["weights"]
    return [local(weights)] if Path(weights).suffix else []


def images_of(wildcards):
    """Channels of the images that a given network sees, and their classes."""
    source = source_of(*(LAYOUT.models_by_key[wildcards.model].data[k] for k in ("name", "root")))
    return {"channels": source.channels, "classes": source.classes}


def network_file(suffix):
    """A file of the network whose key is a rule's wildcard."""
    return lambda wildcards: LAYOUT.network(LAYOUT.networks[wildcards.network], suffix)


def planned_layers(wildcards):
    """The layers that a network is to have."""
    return LAYERS_OF_MODEL[LAYOUT.networks[wildcards.network].model]


def selected(layers, section):
    """The layers whose name or graph node fits a pattern of a section of the configuration."""
    patterns = config[section]["layers"]
    fitting = [
        layer
        for layer in layers
        if any(fnmatch.fnmatchcase(layer[key], p) for p in patterns for key in ("name", "node"))
    ]
    if patterns and not fitting:
        raise WorkflowError(
            f"config: {section}.layers: expected patterns that fit a layer, found {patterns}; the"
            f" layers are {', '.join(layer['name'] for layer in layers)}"
        )
    return fitting


def layers_of_pair(pair):
    """The layers that both networks of a pair have, and that the configuration selects."""
    of_a, of_b = (LAYERS_OF_MODEL[network.model] for network in (pair.a, pair.b))
    shared, left_out = checked(shared_layers, of_a, of_b)
    if left_out and workflow.is_main_process:
        logger.warning(
            f"{LAYOUT.key(pair.a)} and {LAYOUT.key(pair.b)}: no counterpart, so not matched:"
            f" {', '.join(left_out)}"
        )
    return selected(shared, "matching")


def groups_of(layers):
    """The layers that one job matches, by the group's key.

    A group takes every k-th layer, so that groups are alike in work.
    """
    names = [layer["name"] for layer in layers]
    count = -(-len(names) // LAYERS_A_JOB)
    return {LAYOUT.group(names[first::count]): names[first::count] for first in range(count)}


def minimal_groups_of(pair):
    """Of each group of a pair the layers whose minimal matches are sought: key, (group, layers)."""
    chosen = {layer["name"] for layer in selected(LAYERS[pair], "minimal_matches")}
    found = {}
    for group, names in GROUPS[pair].items():
        if kept := [name for name in names if name in chosen]:
            found[LAYOUT.group(kept, of=names)] = group, kept
    return found


def group_of(wildcards):
    """The layers of a job's group."""
    return GROUPS[wildcards.a, wildcards.b][wildcards.group]


def minimal_group_of(wildcards):
    """The group that a job's layers were matched with, and these layers."""
    return MINIMAL_GROUPS[wildcards.a, wildcards.b][wildcards.group]


def matched(name):
    """A file of the group that a job's layers were matched with."""
    return lambda wildcards: LAYOUT.match(
        wildcards.a, wildcards.b, minimal_group_of(wildcards)[0], name
    )


def by_group(path, groups):
    """A path of every group of every pair, from ``path(a, b, group)``."""
    return [path(*pair, group) for pair, of_pair in groups.items() for group in of_pair]


# A layer of 64 neurons is matched in a tenth of a second; a job of it takes one more.
LAYERS_A_JOB = 8

config.update(checked(complete, config))
# A job on another machine inherits it, if its batch system hands variables over.
if workflow.is_main_process or INVOCATION not in os.environ:
    os.environ[INVOCATION] = invocation(ROOT, config, complete({}))
LAYOUT = Layout(config)
checked(lambda: LAYOUT.pairs)
LAYERS_OF_MODEL = {
    name: checked(layers_of, model, config, LAYOUT.layers(name))
    for name, model in LAYOUT.models.items()
}
# What the tables call each pair.
PAIRS = [
    {
        "network_a": LAYOUT.key(pair.a),
        "network_b": LAYOUT.key(pair.b),
        "comparison": pair.comparison,
        **{
            f"{key}_{side}": value
            for side in "ab"
            for key, value in asdict(getattr(pair, side)).items()
        },
    }
    for pair in LAYOUT.pairs
]
# By the keys of the two networks.
LAYERS = {(LAYOUT.key(pair.a), LAYOUT.key(pair.b)): layers_of_pair(pair) for pair in LAYOUT.pairs}
GROUPS = {pair: groups_of(layers) for pair, layers in LAYERS.items()}
MINIMAL_GROUPS = {pair: minimal_groups_of(pair) for pair in LAYERS}
MODELS = LAYOUT.models.values()
INITIAL = keys_of(LAYOUT.initial_key(model) for model in MODELS if not model.given)
GIVEN = keys_of(LAYOUT.model_key(model) for model in MODELS if model.given)
TRAINED = keys_of(LAYOUT.model_key(model) for model in MODELS if not model.given)
STAGES = [f"epoch_{epoch}" for epoch in LAYOUT.kept_epochs] + ["best", "last"]

TABLES = {
    **{
        f"{name}_{suffix}": LAYOUT.experiment(f"tables/{name}.{suffix}")
        for name, suffixes in {
            "networks": ["csv"],
            "similarity": ["parquet", "csv"],
            "summary": ["parquet", "csv"],
            "neurons": ["parquet", "csv"],
            "measures": ["parquet", "csv"],
            "minimal_matches": ["parquet"],
            "minimal_match_members": ["parquet"],
            "null": ["parquet"],
            "heat_map": ["parquet"],
            "top_images": ["parquet"],
        }.items()
        for suffix in suffixes
    },
    "metrics": LAYOUT.experiment("metrics.json"),
    "config": LAYOUT.experiment("config.json"),
}
FIGURES = [
    LAYOUT.experiment(f"figures/{name}.{format}")
    for name in (
        "similarity_by_depth",
        "similarity_by_epsilon",
        "critical_epsilons",
        "minimal_matches",
        "measures",
        "heat_map",
        "top_images",
        *(["stages"] if len({pair.comparison for pair in LAYOUT.pairs}) > 1 else []),
    )
    for format in config["figures"]["formats"]
]


wildcard_constraints:
    data=r"\w+-[0-9a-f]{10}",
    model=r"[\w-]+-[0-9a-f]{10}",
    seed=r"\d+",
    network=r"[\w.-]+",
    a=r"((?!--)[\w.-])+",
    b=r"((?!--)[\w.-])+",
    group=r"[a-z]+\d+-[a-z]+\d+-[0-9a-f]{10}",
    epsilon=r"[\d.e-]+",
