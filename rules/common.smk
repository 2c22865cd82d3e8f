# Paths and look-ups, no rules.
#
# The configuration is checked before anything reads it. Every path carries a digest of all that decides
# its content (subspace_match/experiment/paths.py): configuration, code, what the user's own files hold.

import fnmatch
import functools
import os
import sys
from dataclasses import asdict
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# The package of this folder, here and in the jobs, whatever else is installed.
ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
search_path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ.update(PYTHONPATH=os.pathsep.join(search_path))

from subspace_match.experiment.config import read_config, validated
from subspace_match.experiment.user_files import data_source, network_sources
from subspace_match.data.catalogue import count_test_images, source_of
from subspace_match.experiment.code_inputs import Code
from subspace_match.experiment.paths import Paths, deciding
from subspace_match.networks.layer_info import LayerInfo
from subspace_match.experiment.planned_layers import layers_of, shared_layers
from subspace_match.networks.sampling import uses_all_samples
from subspace_match.experiment.origins import origins_of
from subspace_match.workflow.invocation import for_jobs, handed_over
from subspace_match.workflow.invocation import INVOCATION, invocation
from subspace_match.storage.job_records import SUFFIX, Records, check


def checked(check, *arguments):
    """What a check of the package returns; its complaint as Snakemake's, without a traceback."""
    try:
        return check(*arguments)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def keys_of(models):
    """A wildcard's pattern: the keys of these models, or what no key matches."""
    return "|".join(sorted(models)) or "(?!)"


def data_of(wildcards):
    """The key of the data set that a model learns from."""
    return PATHS.data_key(PATHS.models_by_key[wildcards.model].data)


def own_modules(model_key):
    """The code of a user's own network, as jobs name what they read."""
    sources = network_sources(PATHS.models_by_key[model_key].network)
    return [source for source in sources if source.startswith("module ")]


def image_files(data):
    """A data set whose images stay in their own files, as jobs name what they read."""
    return data_source(data) if source_of(data["name"], data["root"]).files else []


def read_in_extraction(wildcards):
    """What the recording of a network reads of the user's own files."""
    return own_modules(wildcards.network.partition(".")[0]) + image_files(config["data"])


def images_of(wildcards):
    """Channels of the images that a given network sees, and their classes."""
    source = source_of(*(PATHS.models_by_key[wildcards.model].data[k] for k in ("name", "root")))
    return {"channels": source.channels, "classes": source.classes}


def network_file(suffix):
    """A file of the network whose key is a rule's wildcard."""
    return lambda wildcards: PATHS.network(PATHS.networks[wildcards.network], suffix)


def planned_layers(wildcards):
    """The layers that a network is to have."""
    return LAYERS_OF_MODEL[PATHS.networks[wildcards.network].model]


def fits(layer, pattern):
    """Whether a layer's name or graph node fits a pattern."""
    return any(fnmatch.fnmatchcase(layer[key], pattern) for key in ("name", "node"))


def selected(layers, section):
    """The layers whose name or graph node fits a pattern of a section of the configuration."""
    patterns = config[section]["layers"]
    fitting = [layer for layer in layers if any(fits(layer, pattern) for pattern in patterns)]
    if patterns and not fitting:
        raise WorkflowError(
            f"config: {section}.layers: expected patterns that fit a layer, found {patterns}; the"
            f" layers are {', '.join(layer['name'] for layer in layers)}"
        )
    return fitting


def say_what_fits_nothing(section, layers):
    """Warn of patterns of a section that fit no layer of any pair, such as a misspelt name."""
    for pattern in config[section]["layers"]:
        if not any(fits(layer, pattern) for layer in layers):
            logger.warning(
                f"config: {section}.layers: {pattern!r} fits no layer; the layers are"
                f" {', '.join(dict.fromkeys(layer['name'] for layer in layers))}"
            )


@functools.cache
def counterparts(pair):
    """The layers that both networks of a pair have, and the names of those that one has alone."""
    return checked(shared_layers, *(LAYERS_OF_MODEL[network.model] for network in (pair.a, pair.b)))


def layers_of_pair(pair):
    """The layers that both networks of a pair have, and that the configuration selects."""
    shared, left_out = counterparts(pair)
    if left_out and workflow.is_main_process:
        logger.warning(
            f"{PATHS.key(pair.a)} and {PATHS.key(pair.b)}: no counterpart, so not matched:"
            f" {', '.join(left_out)}"
        )
    return selected(shared, "matching")


def groups_of(layers):
    """The layers that one job matches, by the group's key.

    A group takes every k-th layer, so that groups are alike in work.
    """
    names = [layer["name"] for layer in layers]
    count = -(-len(names) // LAYERS_A_JOB)
    return {PATHS.group(names[first::count]): names[first::count] for first in range(count)}


def minimal_groups_of(pair):
    """Of each group of a pair the layers whose minimal matches are sought: key, (group, layers)."""
    chosen = {layer["name"] for layer in selected(LAYERS[pair], "minimal_matches")}
    found = {}
    for group, names in GROUPS[pair].items():
        if kept := [name for name in names if name in chosen]:
            found[PATHS.group(kept, of=names)] = group, kept
    return found


def group_of(wildcards):
    """The layers of a job's group."""
    return GROUPS[wildcards.a, wildcards.b][wildcards.group]


def minimal_group_of(wildcards):
    """The group that a job's layers were matched with, and these layers."""
    return MINIMAL_GROUPS[wildcards.a, wildcards.b][wildcards.group]


def matched(name):
    """A file of the group that a job's layers were matched with."""
    return lambda wildcards: PATHS.match(
        wildcards.a, wildcards.b, minimal_group_of(wildcards)[0], name
    )


def by_group(path, groups):
    """A path of every group of every pair, from ``path(a, b, group)``."""
    return [path(*pair, group) for pair, of_pair in groups.items() for group in of_pair]


# A layer of 64 neurons is matched in a tenth of a second; a job of it takes one more.
LAYERS_A_JOB = 8

# Read here and not by Snakemake, for which 010 is 8 and the last of two equal keys counts.
FILES = [Path("config", "config.yaml"), *workflow.overwrite_configfiles]
config.update(checked(read_config, FILES, workflow.config_settings.config))
if workflow.is_main_process:
    read = [os.path.relpath(file) for file in FILES if file.exists()]
    logger.info(f"Configuration: {', then '.join(read)}")
# A job inherits it, on another machine too if its batch system hands variables over: its paths are then
# those of the plan, even if code or files have changed since.
if workflow.is_main_process or INVOCATION not in os.environ:
    code = Code(ROOT)
    planned = for_jobs(checked(origins_of, config, code, config["results"], logger.warning), code)
    default = validated({})
    os.environ[INVOCATION] = invocation(ROOT, config, default, forced=True, **planned)
PATHS = Paths(config, handed_over())
checked(lambda: PATHS.pairs)
LAYERS_OF_MODEL = {
    name: checked(layers_of, model, config, PATHS.layers(name))
    for name, model in PATHS.models.items()
}
# What the tables call each pair.
PAIRS = [
    {
        "network_a": PATHS.key(pair.a),
        "network_b": PATHS.key(pair.b),
        "comparison": pair.comparison,
        "left_out": counterparts(pair)[1],
        **{
            f"{key}_{side}": value
            for side in "ab"
            for key, value in asdict(getattr(pair, side)).items()
        },
    }
    for pair in PATHS.pairs
]
# By the keys of the two networks.
LAYERS = {(PATHS.key(pair.a), PATHS.key(pair.b)): layers_of_pair(pair) for pair in PATHS.pairs}
if workflow.is_main_process:
    say_what_fits_nothing(
        "matching", [layer for pair in PATHS.pairs for layer in counterparts(pair)[0]]
    )
    say_what_fits_nothing(
        "minimal_matches", [layer for layers in LAYERS.values() for layer in layers]
    )
GROUPS = {pair: groups_of(layers) for pair, layers in LAYERS.items()}
MINIMAL_GROUPS = {pair: minimal_groups_of(pair) for pair in LAYERS}
MODELS = PATHS.models.values()
INITIAL = keys_of(PATHS.initial_key(model) for model in MODELS if not model.pretrained)
GIVEN = keys_of(PATHS.model_key(model) for model in MODELS if model.pretrained)
TRAINED = keys_of(PATHS.model_key(model) for model in MODELS if not model.pretrained)
STAGES = [f"epoch_{epoch}" for epoch in PATHS.kept_epochs] + ["best", "last"]

TABLES = {
    **{
        f"{name}_{suffix}": PATHS.experiment(f"tables/{name}.{suffix}")
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
            "left_out": ["parquet", "csv"],
        }.items()
        for suffix in suffixes
    },
    "metrics": PATHS.experiment("metrics.json"),
    "config": PATHS.experiment("config.json"),
}
FIGURES = [
    PATHS.experiment(f"figures/{name}.{format}")
    for name in (
        "similarity_by_depth",
        "similarity_by_epsilon",
        "critical_epsilons",
        "minimal_matches",
        "measures",
        "heat_map",
        "top_images",
        *(["stages"] if len({pair.comparison for pair in PATHS.pairs}) > 1 else []),
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
