# Paths and look-ups, no rules.
#
# The configuration is checked before anything reads it. Every path carries a digest of what decides
# its content (subspace_match/layout.py), and the modules that decide it are inputs, so that an edit
# re-runs what depends on it and a touched file does not (Snakemake compares checksums).

import fnmatch
import os
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

# The package of this folder, here and in the jobs, whatever else is installed.
ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))
search_path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ.update(PYTHONPATH=os.pathsep.join(search_path))

from subspace_match.config import validated
from subspace_match.imports import modules_of
from subspace_match.layout import Layout
from subspace_match.networks.listing import layers_of


def complete(config):
    schema = yaml.safe_load((ROOT / "config" / "schema.yaml").read_text())
    try:
        return validated(config, schema)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def code(rule_name):
    """Modules of the package that decide a rule's result, as inputs."""
    modules = modules_of(ROOT / "workflow_scripts" / f"{rule_name}.py")
    # Relative, so that a project that was moved or copied has the inputs that it had.
    return [os.path.relpath(module) for module in modules]


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


config.update(complete(config))
LAYOUT = Layout(config)
MATCHED = selected(layers_of(config, LAYOUT.layers()), "matching")
LAYERS = [layer["name"] for layer in MATCHED]
MINIMAL_LAYERS = [layer["name"] for layer in selected(MATCHED, "minimal_matches")]

TABLES = {
    "similarity_parquet": LAYOUT.experiment("tables/similarity.parquet"),
    "similarity_csv": LAYOUT.experiment("tables/similarity.csv"),
    "neurons_parquet": LAYOUT.experiment("tables/neurons.parquet"),
    "neurons_csv": LAYOUT.experiment("tables/neurons.csv"),
    "measures_parquet": LAYOUT.experiment("tables/measures.parquet"),
    "measures_csv": LAYOUT.experiment("tables/measures.csv"),
    "minimal_matches_parquet": LAYOUT.experiment("tables/minimal_matches.parquet"),
    "null_parquet": LAYOUT.experiment("tables/null.parquet"),
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
    )
    for format in config["figures"]["formats"]
]


wildcard_constraints:
    seed=r"\d+",
    seed_a=r"\d+",
    seed_b=r"\d+",
    layer=r"[a-z]+\d+",
    epsilon=r"[\d.e-]+",
