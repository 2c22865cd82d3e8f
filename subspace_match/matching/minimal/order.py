"""Orders in which removals are tested; they decide which of a neuron's minimal matches is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from ..validation import in_words
from .walk import Walk

Order = Literal["authors", "random", "small"]


def removal_orders(
    walk: Walk,
    live: np.ndarray,
    wanted: np.ndarray,
    neurons: int,
    order: Order,
    seed: int | None,
    restarts: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Generate orders of tests, each with the neurons whose minimal matches to find.

    Args:
        walk: walk of the maximum match.
        live: neuron of each column of the factor, (columns,) int64.
        wanted: neurons whose minimal matches are wanted, int64.
        neurons: n, the number of neurons of both sides.
        order: as in ``minimal_matches``.
        seed: seed of the random orders.
        restarts: number of random orders.

    Yields:
        Columns of the maximum match in the order of tests, and columns of wanted neurons.
    """
    columns = walk.columns
    group = np.searchsorted(live, wanted)
    if order == "authors":
        yield columns, group
    elif order == "random":
        rng = np.random.default_rng(seed)
        for _ in range(restarts):
            # Permute all neurons, so that the order does not depend on the maximum match.
            permutation = rng.permutation(neurons)
            tests = np.searchsorted(live, permutation[np.isin(permutation, live[columns])])
            yield tests, group
    else:
        yield columns, group
        matrix, positions, width_x = walk.spans()
        needs = _needs(matrix, width_x)
        for column in group:
            v = int(np.flatnonzero(positions == column)[0])
            yield positions[np.argsort(needs[v], kind="stable")], group[group == column]


def distance_growth(matrix: np.ndarray, width_x: int) -> np.ndarray:
    """Return the growth of each neuron's squared distance when another neuron is removed.

    Args:
        matrix: W of ``spans``, (m, m) float64.
        width_x: number of X's neurons, which come first.

    Returns:
        (m, m) float64: B[t, v]^2 / P[t, t] in row v and column t; 0 if t is on v's own side, or if
        t is linearly dependent, since no span shrinks without it.
    """
    diagonal = np.diagonal(matrix)
    strengths = np.where(diagonal > 0, diagonal, np.inf)
    across: np.ndarray = matrix**2 / strengths[:, None]
    across[:width_x, :width_x] = 0.0
    across[width_x:, width_x:] = 0.0
    return across.T


def _needs(matrix: np.ndarray, width_x: int) -> np.ndarray:
    """Return how much neuron v needs neuron u, in row v and column u of an (m, m) matrix.

    For u on the other side it is the growth of v's squared distance without u. For u on v's own
    side it is the sum, over the neurons t that v needs, of v's need for t times t's need for u.
    """
    across = distance_growth(matrix, width_x)
    both: np.ndarray = across + across @ across
    return both


def check_order(order: Any, seed: Any, restarts: Any) -> None:
    """Raise a ValueError if order, seed or restarts is invalid."""
    if not isinstance(order, str) or order not in get_args(Order):
        raise ValueError(
            f"order: expected one of {', '.join(map(repr, get_args(Order)))}, found"
            f" {in_words(order)}; 'authors' is the published order"
        )
    if not isinstance(restarts, (int, np.integer)) or restarts < 1:
        raise ValueError(
            f"restarts: expected an integer of at least 1, found {in_words(restarts)}; 1 tests one"
            " order"
        )
    if order != "random" and (restarts != 1 or seed is not None):
        raise ValueError(
            f"order: expected 'random' with seed or restarts, found {order!r}; the other orders are"
            " not random, so omit seed and restarts"
        )
    if order == "random" and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise ValueError(
            "seed: expected an integer of at least 0 with order='random', found"
            f" {in_words(seed)}; the seed makes the result reproducible"
        )


def search_in_words(epsilon: float, order: Order, seed: int | None, restarts: int) -> str:
    """Name epsilon and the valid options of a search; equal searches have equal names."""
    random = f", seed {seed}, {restarts} restarts" if order == "random" else ""
    return f"epsilon {epsilon!r}, order {order!r}{random}"
