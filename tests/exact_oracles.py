"""Matches of small pairs in exact rational arithmetic: no rounding anywhere."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

Products = list[list[Fraction]]


def inner_products(x: np.ndarray, y: np.ndarray) -> Products:
    """Z'Z of Z = [X Y], exactly: every float is a whole number times a power of 2."""
    columns = [_whole(column.astype(np.float64)) for column in (*x.T, *y.T)]
    return [
        [Fraction(int(a @ b)) * Fraction(2) ** (low_a + low_b) for b, low_b in columns]
        for a, low_a in columns
    ]


def _whole(column: np.ndarray) -> tuple[np.ndarray, int]:
    """Whole numbers of any size, and the power of 2 that they are to be multiplied by."""
    mantissas, exponents = np.frexp(column)
    low = int(exponents[mantissas != 0].min(initial=0)) - 53
    parts = zip((mantissas * 2**53).astype(np.int64).tolist(), exponents.tolist(), strict=True)
    whole = [part << max(exponent - 53 - low, 0) for part, exponent in parts]
    return np.array(whole, dtype=object), low


def squared_distance(products: Products, target: int, span: list[int]) -> Fraction:
    """r(v | S)^2 of one neuron, by Gaussian elimination."""
    rows = [[products[i][j] for j in (*span, target)] for i in (*span, target)]
    for k in range(len(span)):
        if rows[k][k] == 0:  # it depends on those before it
            continue
        for i in range(k + 1, len(rows)):
            if rows[i][k] != 0:
                share = rows[i][k] / rows[k][k]
                rows[i][k:] = [a - share * b for a, b in zip(rows[i][k:], rows[k][k:], strict=True)]
    return rows[-1][-1] / products[target][target]


def squared_critical_epsilons(products: Products, neurons_x: int) -> list[Fraction | None]:
    """Of every neuron the square of the smallest epsilon at which it is in; None for a dead one.

    The farthest neuron leaves, again and again, as in ``path``, each distance computed anew.
    """
    left = [neuron for neuron in range(len(products)) if products[neuron][neuron] > 0]
    squares: list[Fraction | None] = [None] * len(products)
    level = Fraction(1)
    while left:
        others = [[v for v in left if (v < neurons_x) != (u < neurons_x)] for u in left]
        distances = [
            squared_distance(products, u, span) for u, span in zip(left, others, strict=True)
        ]
        farthest = max(distances)
        level = min(level, farthest)
        neuron = left.pop(distances.index(farthest))
        squares[neuron] = level
    return squares


def critical_epsilons(squares: list[Fraction | None]) -> np.ndarray:
    """The nearest float64 of each, NaN for a dead neuron."""
    return np.array([np.nan if square is None else root(square) for square in squares])


def root(square: Fraction) -> float:
    """The nearest float64 to a square root."""
    digits = 2**120
    whole = math.isqrt(square.numerator * digits**2 // square.denominator)
    return float(Fraction(whole, digits))


def members(squares: list[Fraction | None], epsilon: float) -> list[int]:
    """The maximum match at an epsilon, X's neurons first."""
    bound = Fraction(epsilon) ** 2
    return [v for v, square in enumerate(squares) if square is not None and square <= bound]
