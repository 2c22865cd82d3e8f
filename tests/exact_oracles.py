"""Matches of small pairs in exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

Products = list[list[Fraction]]


def inner_products(x: np.ndarray, y: np.ndarray) -> Products:
    """Return Z'Z of Z = [X Y]: each float is an integer times a power of 2."""
    columns = [_integers(column.astype(np.float64)) for column in (*x.T, *y.T)]
    return [
        [Fraction(int(a @ b)) * Fraction(2) ** (low_a + low_b) for b, low_b in columns]
        for a, low_a in columns
    ]


def _integers(column: np.ndarray) -> tuple[np.ndarray, int]:
    """Return integers of any size and the exponent of their common factor 2^e."""
    mantissas, exponents = np.frexp(column)
    low = int(exponents[mantissas != 0].min(initial=0)) - 53
    parts = zip((mantissas * 2**53).astype(np.int64).tolist(), exponents.tolist(), strict=True)
    integers = [part << max(exponent - 53 - low, 0) for part, exponent in parts]
    return np.array(integers, dtype=object), low


def squared_distance(products: Products, target: int, span: list[int]) -> Fraction:
    """Return r(v | S)^2 of one neuron, by Gaussian elimination."""
    rows = [[products[i][j] for j in (*span, target)] for i in (*span, target)]
    for k in range(len(span)):
        if rows[k][k] == 0:  # linearly dependent on the earlier rows
            continue
        for i in range(k + 1, len(rows)):
            if rows[i][k] != 0:
                share = rows[i][k] / rows[k][k]
                rows[i][k:] = [a - share * b for a, b in zip(rows[i][k:], rows[k][k:], strict=True)]
    return rows[-1][-1] / products[target][target]


def squared_critical_epsilons(products: Products, neurons_x: int) -> list[Fraction | None]:
    """Return the squared critical epsilon of each neuron; None for a dead one.

    Remove the farthest neuron repeatedly, as ``path`` does, but compute each distance from scratch.
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
    """Return the nearest float64 of each square root; NaN for a dead neuron."""
    return np.array([np.nan if square is None else root(square) for square in squares])


def root(square: Fraction) -> float:
    """Return the float64 nearest to the square root."""
    digits = 2**120
    whole = math.isqrt(square.numerator * digits**2 // square.denominator)
    return float(Fraction(whole, digits))


def members(squares: list[Fraction | None], epsilon: float) -> list[int]:
    """Return the maximum match at an epsilon, X's neurons first."""
    bound = Fraction(epsilon) ** 2
    return [v for v, square in enumerate(squares) if square is not None and square <= bound]
