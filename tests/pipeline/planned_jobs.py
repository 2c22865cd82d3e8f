"""The jobs that a plan needs, without Snakemake, for tests that used to call dry runs."""

from __future__ import annotations

import collections
import contextlib
from pathlib import Path

from pipeline.workspaces import Workspace

from subspace_match.experiment.comparisons import PRETRAINED_SEED, Network
from subspace_match.experiment.origins import paths_of
from subspace_match.experiment.plan import Plan
from subspace_match.figures.registry import figure_names
from subspace_match.results.registry import TABLES


def plan_of(workspace: Workspace, *configfiles: str) -> Plan:
    """Plan the configuration of a workspace, with absolute paths."""
    with contextlib.chdir(workspace.root):  # files that a configuration names may lie here
        paths = paths_of(workspace.root, configfiles)
        absolute = paths.config | {"results": str(workspace.root / "results")}
        return Plan(absolute, paths.origins, TABLES, figure_names)


def jobs_of(plan: Plan) -> dict[str, set[tuple[str, ...]]]:
    """Return an output of every result of every job of a plan, by rule."""
    paths = plan.paths
    jobs: dict[str, set[tuple[str, ...]]] = collections.defaultdict(set)

    def add_network(network: Network) -> None:
        model, file = paths.models[network.model], paths.network(network, ".safetensors")
        if model.pretrained:
            jobs["load_pretrained"].add((file,))
            return
        key = paths.data_key(model.data)
        jobs["prepare_data"].add((paths.data("images.safetensors", key),))
        if network.stage == "initial":
            jobs["initialise"].add((file,))
            return
        jobs["train"].add((str(Path(file).with_name("last.safetensors")),))
        if model.start is not None:
            seed = PRETRAINED_SEED if paths.models[model.start].pretrained else network.seed
            add_network(Network(model.start, seed, "last"))

    for key, network in paths.networks.items():
        add_network(network)
        jobs["extract"].add(tuple(paths.stores(key)))
        jobs["top_images"].add((paths.top_images(key),))
    jobs["prepare_data"].add((paths.data("images.safetensors"),))
    others = {
        "match": set(plan.of_groups(paths.match, "path.npz")),
        "certify": set(plan.of_groups(paths.certificates)),
        "measure": set(plan.of_groups(paths.measures)),
        "minimal_match": set(plan.minimal_matches),
        "null": set(plan.nulls),
        "consensus": set(plan.consensus),
        "heat_map": set(plan.heat_maps),
        "within_network": set(plan.within_networks),
        "aggregate": {paths.experiment("metrics.json")},
        "plot": {paths.experiment("figures/captions.json")},
        "report": {paths.experiment("report.html")},
    }
    jobs |= {rule: {(output,) for output in outputs} for rule, outputs in others.items()}
    return {rule: outputs for rule, outputs in jobs.items() if outputs}


def missing_jobs(workspace: Workspace, *configfiles: str) -> dict[str, int]:
    """Count, by rule, the jobs whose outputs a workspace does not have yet."""
    jobs = jobs_of(plan_of(workspace, *configfiles))
    missing = {
        rule: sum(not all(Path(output).exists() for output in outputs) for outputs in own)
        for rule, own in jobs.items()
    }
    return {rule: count for rule, count in missing.items() if count}
