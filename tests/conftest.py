"""Settings of all tests: each available device, and one thread per process."""

import os

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
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def pytest_configure(config: pytest.Config) -> None:
    for warning in IGNORED:
        config.addinivalue_line("filterwarnings", f"ignore::{warning}")


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Each available device in turn."""
    return str(request.param)
