"""Snakemake does not look at the sizes of inputs, and priorities decide which job is next."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.io import IOFile
from snakemake.scheduling.greedy import Scheduler, SchedulerSettings
from snakemake.scheduling.job_scheduler import JobScheduler

from subspace_match.workflow.snakemake_scheduler import ignore_input_sizes


def job(priority: int) -> SimpleNamespace:
    missing = IOFile("no/such/store.zarr", rule=None)
    return SimpleNamespace(priority=priority, input=[missing], scheduler_resources={"_cores": 1})


def test_jobs_of_higher_priority_start_first_whatever_their_inputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = JobScheduler.update_input_sizes
    assert asyncio.iscoroutinefunction(original)
    monkeypatch.setattr(JobScheduler, "update_input_sizes", original)  # restored afterwards
    ignore_input_sizes()
    state: Any = SimpleNamespace(_input_sizes={})
    jobs = [job(0), job(0), job(1), job(0), job(1)]
    # In a thread of its own, because browser tests leave a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, JobScheduler.update_input_sizes(state, jobs)).result()
    scheduler = Scheduler(None, SchedulerSettings(), None)
    for cores, expected in ((2, [jobs[2], jobs[4]]), (3, [jobs[0], jobs[2], jobs[4]])):
        chosen = scheduler.select_jobs(jobs, jobs, {"_cores": cores}, state._input_sizes)
        assert chosen == expected
