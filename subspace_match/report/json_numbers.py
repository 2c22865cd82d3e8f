"""Numbers as JSON values. JSON has neither NaN nor infinity: both become None."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def numbers(values: Any, digits: int | None = None) -> list[float | None]:
    """Convert numbers for JSON, rounded to significant digits if these are given."""
    found = np.asarray(values, dtype=float).tolist()
    if digits is not None:
        found = [float(f"{value:.{digits}g}") for value in found]
    return [value if math.isfinite(value) else None for value in found]
