"""Settings of all tests: every device that is present, and one thread a process."""

import os

# Tests run side by side, and small work only waits for a second thread. NumPy and torch read this
# when they are loaded.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import pytest
import torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Every device that is present."""
    return str(request.param)
