"""Times of calls, for the benchmarks."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def fastest(
    *works: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the minimum seconds of each call; the calls alternate.

    Args:
        works: the calls.
        repeats: how often to make each.
        clock: ``time.process_time`` for CPU seconds.
    """
    turns = []
    for _ in range(repeats):
        turns.append([])
        for work in works:
            start = clock()
            work()
            turns[-1].append(clock() - start)
    return [min(times) for times in zip(*turns, strict=True)]


def wall_and_cpu(work: Callable[[], Result]) -> tuple[float, float, Result]:
    """Return the wall-clock and the CPU seconds of a call, and what it returns."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def cpu_of_programs(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return the CPU seconds of the programs that a call starts and ends, and what it returns."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result
