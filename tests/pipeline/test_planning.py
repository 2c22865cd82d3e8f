"""Snakemake plans what the plan says: three dry runs; all other plans are tested without it."""

import shutil
from collections.abc import Callable

import yaml
from pipeline.planned_jobs import jobs_of, missing_jobs, plan_of
from pipeline.workspaces import PROJECT, Workspace

SEVERAL = {
    "models": {
        "source": {"data": {"split_seed": 5}},
        "tuned": {"start": "source", "training": {"epochs": 1, "warmup_epochs": 0}},
        "wide": {"network": {"width": 0.08}},
    },
    "stages": ["initial", 1, "last"],
    "compare": [
        {"models": ["source", "tuned"], "seeds": "same"},
        {"models": ["tuned", "wide"], "stages": "last"},
        {"models": ["wide", "wide"], "seeds": "same", "stages": "last"},
    ],
}


def counts(jobs: dict[str, set[str]]) -> dict[str, int]:
    return {rule: len(outputs) for rule, outputs in jobs.items()}


def test_snakemake_plans_the_default_experiment(
    empty_workspace: Callable[..., Workspace],
) -> None:
    workspace = empty_workspace()
    shutil.copy(PROJECT / "config" / "config.yaml", workspace.root / "config")
    planned = workspace.snakemake("-n").planned
    assert planned == counts(jobs_of(plan_of(workspace)))
    assert planned["match"] == 1  # all ten layers


def test_snakemake_plans_what_several_models_and_stages_lack(workspace: Workspace) -> None:
    """Finished results stay, and a pattern that fits no layer is a warning."""
    (workspace.root / "several.yaml").write_text(
        yaml.safe_dump(SEVERAL | {"matching": {"layers": ["conv1", "relu1"]}})
    )
    run = workspace.snakemake("-n", "--configfile", "several.yaml")
    missing = missing_jobs(workspace, "several.yaml")
    assert run.planned == missing
    assert missing["train"] == 6
    assert missing != counts(jobs_of(plan_of(workspace, "several.yaml")))
    assert "Configuration: config/config.yaml, then several.yaml" in run.text
    assert "config: matching.layers: 'relu1' fits no layer; the layers are conv1, " in run.text


def test_a_wrong_configuration_is_one_clear_error(workspace: Workspace) -> None:
    workspace.configure(matching={"epsilon": [0.1]})
    text = workspace.snakemake("-n", fails=True).text
    assert "unknown key 'matching.epsilon'; the nearest known key is 'matching.epsilons'" in text
    assert "Traceback" not in text


def test_a_folder_of_results_that_cannot_be_written_is_one_clear_error(
    workspace: Workspace,
) -> None:
    workspace.configure(results="/proc/none")  # nobody, not even root, can write there
    text = workspace.snakemake("-n", fails=True).text
    assert "results: expected a folder to write to, found an error for '/proc/none'" in text
    assert "Traceback" not in text
