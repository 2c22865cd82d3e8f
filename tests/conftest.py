"""Settings of all tests: each available device, and one thread per process."""

import os

# Tests run in parallel, and small work gains nothing from a second thread. NumPy and torch read
# these variables at import.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import pytest
import torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Each available device in turn."""
    return str(request.param)
