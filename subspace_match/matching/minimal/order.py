"""In which order to test removals: it decides which of a neuron's minimal matches is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from .walk import Walk

Order = Literal["authors", "random", "small"]


def orders_of_tests(
    walk: Walk,
    live: np.ndarray,
    sought: np.ndarray,
    neurons: int,
    order: Order,
    seed: int | None,
    restarts: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Orders, and the neurons to find minimal matches of in each.

    Args:
        walk: walk of the maximum match.
        live: neuron of each column of the factor, (columns,) int64.
        sought: neurons whose minimal matches are sought, int64.
        neurons: n, the number of all.
        order: as in ``minimal_matches``, like ``seed`` and ``restarts``.
        seed: of the random orders.
        restarts: number of random orders.

    Yields:
        Columns of the maximum match in the order of tests, and columns sought.
    """
    columns = walk.columns
    group = np.searchsorted(live, sought)
    if order == "authors":
        yield columns, group
    elif order == "random":
        rng = np.random.default_rng(seed)
        for _ in range(restarts):
            # Of all neurons, so that it does not depend on which are in the maximum match.
            permutation = rng.permutation(neurons)
            tests = np.searchsorted(live, permutation[np.isin(permutation, live[columns])])
            yield tests, group
    else:
        yield columns, group
        matrix, positions, width_x = walk.spans()
        need = needs(matrix, width_x)
        for column in group:
            v = int(np.flatnonzero(positions == column)[0])
            yield positions[np.argsort(need[v], kind="stable")], group[group == column]


def growths(matrix: np.ndarray, width_x: int) -> np.ndarray:
    """How much each neuron's squared distance grows without each neuron of the other side.

    Args:
        matrix: W of ``spans``, (m, m) float64.
        width_x: number of X's neurons, which come first.

    Returns:
        (m, m) float64: row v, column t for B[t, v]^2 / P[t, t]; 0 for t of v's own side, and for a
        reserve neuron t, without which no span is smaller.
    """
    diagonal = np.diagonal(matrix)
    strengths = np.where(diagonal > 0, diagonal, np.inf)
    across: np.ndarray = matrix**2 / strengths[:, None]
    across[:width_x, :width_x] = 0.0
    across[width_x:, width_x:] = 0.0
    return across.T


def needs(matrix: np.ndarray, width_x: int) -> np.ndarray:
    """How much each neuron needs each other, to put removals in an order; (m, m), row v for v's.

    Of the other side's t a neuron needs as much as its squared distance grows without it. Of a
    neuron of its own side it needs what those that it needs, need of it.
    """
    across = growths(matrix, width_x)
    both: np.ndarray = across + across @ across
    return both


def check_order(order: Any, seed: Any, restarts: Any) -> None:
    """Raise a ValueError unless the options say which orders to test removals in."""
    if order not in get_args(Order):
        raise ValueError(
            f"order: expected one of {', '.join(map(repr, get_args(Order)))}, found {order!r};"
            " 'authors' is the published one"
        )
    if not isinstance(restarts, (int, np.integer)) or restarts < 1:
        raise ValueError(
            f"restarts: expected a whole number of at least 1, found {restarts!r}; 1 is one order"
        )
    if order != "random" and (restarts != 1 or seed is not None):
        raise ValueError(
            f"order: expected 'random' where seed or restarts is given, found {order!r}; the other"
            " orders are the same every time"
        )
    if order == "random" and not isinstance(seed, (int, np.integer)):
        raise ValueError(
            f"seed: expected a whole number with order='random', found {seed!r}; a seed makes the"
            " result one that can be had again"
        )
