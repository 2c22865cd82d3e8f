"""Inputs of rules ignore modification times, unless a run is forced."""

from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.io import is_flagged
from snakemake.iocontainers import Wildcards

from subspace_match.workflow.snakemake_outputs import any_age, is_forced

WILDCARDS = Wildcards(fromdict={"network": "n"})


def workflow(**settings: Any) -> SimpleNamespace:
    unforced = {"forceall": False, "forcetargets": False, "forcerun": frozenset()}
    return SimpleNamespace(dag_settings=SimpleNamespace(**unforced | settings))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("results/{network}.zarr", "results/n.zarr"),
        (["a.npz", "b.npz"], ["a.npz", "b.npz"]),
        (lambda wildcards: f"{wildcards.network}.json", "n.json"),
    ],
)
def test_an_input_is_a_path_with_wildcards_a_list_or_a_function(path: Any, found: Any) -> None:
    named = any_age(workflow(), path)(WILDCARDS)
    assert named == found
    for each in named if isinstance(named, list) else [named]:
        assert is_flagged(each, "ancient")


@pytest.mark.parametrize(
    "settings", [{"forceall": True}, {"forcetargets": True}, {"forcerun": frozenset(["match"])}]
)
def test_in_a_forced_run_times_count(settings: dict[str, Any]) -> None:
    forced = workflow(**settings)
    assert is_forced(forced)
    assert not is_flagged(any_age(forced, "results/{network}.zarr")(WILDCARDS), "ancient")
    assert not is_forced(workflow())
