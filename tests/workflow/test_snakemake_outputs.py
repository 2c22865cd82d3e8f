"""Which files of rules make a job run, and which of its outputs stay after a failure."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jobs import make_result
from snakemake.io import is_flagged
from snakemake.iocontainers import Wildcards

from subspace_match.workflow.invocation import INVOCATION, invocation
from subspace_match.workflow.snakemake_outputs import (
    _is_complete,
    _records_of,
    any_age,
    is_forced,
)

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
def test_in_a_forced_run_inputs_that_are_made_again_count(settings: dict[str, Any]) -> None:
    forced = workflow(**settings)
    assert is_forced(forced)
    assert not is_flagged(any_age(forced, "results/{network}.zarr")(WILDCARDS), "ancient")
    assert not is_forced(workflow())


@pytest.mark.parametrize(
    ("files", "records"),
    [
        (["a.zarr"], ["a.zarr.provenance.json"]),
        (["a.zarr", "b.zarr"], ["a.zarr.provenance.json", "b.zarr.provenance.json"]),
        (["a.zarr", "a.zarr.provenance.json"], []),
        (["path.npz"], ["match.provenance.json"]),
        (["path.npz", "match.provenance.json"], []),
    ],
)
def test_an_output_counts_with_its_own_record_or_that_of_all(
    files: list[str], records: list[str]
) -> None:
    """One store of activations does not wait for the record of another."""
    stores = ["a.zarr", "b.zarr", "a.zarr.provenance.json", "b.zarr.provenance.json"]
    match = ["moments.npz", "path.npz", "match.provenance.json"]
    job = SimpleNamespace(output=stores if "a.zarr" in files else match)
    assert _records_of(job, files) == records


def test_an_output_that_may_not_be_read_stays_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell whether it is whole; only what is known to be damaged is deleted."""
    monkeypatch.chdir(tmp_path)
    config = {"results": "results"}
    monkeypatch.setenv(INVOCATION, invocation(tmp_path, config, config))
    make_result("train", "networks/net/seed_0", ["last.safetensors"], config)
    network = Path("results/networks/net/seed_0/last.safetensors")
    assert _is_complete(None, network)
    whole = network.read_bytes()
    network.write_bytes(whole[:-1])
    assert not _is_complete(None, network)

    def refused(*_: Any) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("subspace_match.storage.job_records.check_content", refused)
    assert _is_complete(None, network)
