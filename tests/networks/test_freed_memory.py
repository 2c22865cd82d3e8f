"""What becomes of freed memory, seen by the system: resident pages and page faults."""

import ctypes
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from subspace_match.networks.freed_memory import FreedMemory

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")


def resident() -> int:
    """Return the memory of this process in pages."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_freed_memory_between_what_stays_is_given_back() -> None:
    blocks = [np.ones(12_000) for _ in range(1_000)]  # too small for maps of their own
    kept, page = blocks[::2], resource.getpagesize()
    before = resident()
    del blocks
    FreedMemory().give_back()
    assert (before - resident()) * page > 0.8 * sum(block.nbytes for block in kept)


def test_freed_memory_is_given_back_seldom_if_that_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls, freed = [], FreedMemory()
    monkeypatch.setattr(freed, "_trim", lambda _: (calls.append(1), time.sleep(0.01)))
    for _ in range(100):
        freed.give_back()
    assert len(calls) == 1
    freed._not_before = 0.0
    freed.give_back()
    assert len(calls) == 2


# Prints the page faults of one allocation of 64 MB after others of that size were freed.
ALLOCATIONS = """
import resource, numpy
from subspace_match.networks.freed_memory import keep_freed_memory
{first}
numpy.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
numpy.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str) -> int:
    command = [sys.executable, "-c", ALLOCATIONS.format(first=first)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_kept_memory_is_used_again_without_page_faults() -> None:
    assert faults("keep_freed_memory()") < faults("") / 10
