"""Equality of results that hold arrays.

A dataclass would compare its fields as a tuple, and the truth value of an array of comparisons is
an error.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np


class EqualByContent:
    """A dataclass whose instances are equal if every field is, bit for bit; NaN equals NaN.

    Declare the dataclass with ``eq=False``. Instances have no hash.
    """

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        own = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return all(_equal(getattr(self, name), getattr(other, name)) for name in own)


def _equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        numbers = one.dtype.kind == "f"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=numbers)
    return type(one) is type(other) and bool(one == other)
