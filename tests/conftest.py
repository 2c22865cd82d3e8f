"""Settings of all tests: each available device, one thread per process, slow tests first."""

import gc
import os
from pathlib import Path

# Imports and collection make a million objects that stay. No garbage is searched for meanwhile, nor
# among these objects later (pytest_collection_finish).
gc.disable()

# Tests run in parallel, and small work gains nothing from a second thread. NumPy and torch read
# these variables at import.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import pytest
import torch

# Most tests have few samples, and many have a side without variance. Declared here and not in
# pyproject.toml, for which pytest would import NumPy before the variables above are set.
IGNORED = (
    "subspace_match.matching.validation.FewSamplesWarning",
    "subspace_match.matching.measures.values.MeasureWarning",
)
TESTS = Path(__file__).parent
SLOW = (TESTS / "pipeline", TESTS / "package")
# Minutes of mostly waiting, which the other processes fill with work.
WAITING = TESTS / "pipeline" / "test_slurm.py"
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def pytest_configure(config: pytest.Config) -> None:
    for warning in IGNORED:
        config.addinivalue_line("filterwarnings", f"ignore::{warning}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each test process begin with slow tests and end with fast ones.

    xdist gives each process an equal part of the list. A process that is ready takes tests from the
    end of another's part. With slow tests there, it would wait for the last of them. Files stay
    whole, because their tests share fixtures. The first process begins with the tests that wait.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes == 1:
        return
    slow = [item for item in items if not {*SLOW}.isdisjoint(item.path.parents)]
    fast = [item for item in items if {*SLOW}.isdisjoint(item.path.parents)]
    others = [file for file in dict.fromkeys(item.path for item in slow) if file != WAITING]
    parts = [[WAITING], *(others[n :: processes - 1] for n in range(processes - 1))]
    ordered: list[pytest.Item] = []
    for number, part in enumerate(parts, start=1):
        ordered += [item for item in slow if item.path in part]
        room = max(0, len(items) * number // processes - len(ordered))
        ordered += fast[:room]
        del fast[:room]
    items[:] = ordered


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.set_threshold(20_000)  # the usual 700 would cost a twentieth of the time
    gc.enable()


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Each available device in turn."""
    return str(request.param)
