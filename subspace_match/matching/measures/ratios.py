"""Division where 0 / 0 is an answer."""

from __future__ import annotations

import math


def ratio(numerator: float, denominator: float) -> float:
    """The quotient as a float, NaN if the denominator is not positive."""
    return float(numerator / denominator) if denominator > 0 else math.nan
