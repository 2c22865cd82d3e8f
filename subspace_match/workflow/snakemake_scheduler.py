"""How Snakemake chooses the next job."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from snakemake.scheduling.job_scheduler import JobScheduler  # type: ignore[import-untyped]


def ignore_input_sizes() -> None:
    """Stop Snakemake from reading the sizes of all inputs of all waiting jobs before each job.

    It would prefer jobs with large inputs. A store of activations has hundreds of files, so with 20
    networks this took longer than it takes to start a job. Priorities still count.
    """

    async def all_alike(scheduler: Any, _jobs: Any) -> None:
        scheduler._input_sizes = defaultdict(int)

    JobScheduler.update_input_sizes = all_alike
