"""Orthonormal bases of what a side's neurons span, centred or not, from the joint factor.

A vector z in sample space is held as (f, m): f its coordinates in the factor, so that inner
products of f are those of z, and m = 1'z / sqrt(d) its part along the constant direction. Taking
away the mean takes away that part, whence

    <z - mean z, w - mean w> = f_z'f_w - m_z m_w.

So centring is a correction of rank one, made after each side has been factored by QR: forming
centred moments and inverting them would square the condition number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from .pairs import SAFE_SQUARE, Moments, constants

# Of unit columns, uncentred, times their number: as in matching, where a near copy still adds a
# direction. Nothing but the factor is read, and it holds them.
RANK_TOLERANCE = 1e-13
# Centred, the direction's mean is needed too, and sums know it to about 1e-15 of a unit column's
# norm only: below 1e-10 that leaves the direction itself fewer than five digits.
CENTRED_RANK_TOLERANCE = 1e-10
# Sums' relative rounding error, with a margin.
SUM_ROUNDING = 1e-14


@dataclass(frozen=True)
class Vectors:
    """Vectors in sample space.

    Attributes:
        coordinates: (k, c) float64, with the vectors' inner products, uncentred.
        means: (c,) float64, parts along the constant direction; 0 where nothing is to be centred.
    """

    coordinates: np.ndarray
    means: np.ndarray

    def inner(self, other: Vectors) -> np.ndarray:
        """Inner products with other vectors, (c, c') float64, both centred if they are."""
        product: np.ndarray = self.coordinates.T @ other.coordinates
        return product - np.outer(self.means, other.means)


def neuron_vectors(pair: Moments, *, centred: bool = True) -> tuple[Vectors, Vectors]:
    """X's and Y's live neurons that are not constant, or if not centred, their live neurons.

    Args:
        pair: moments of the two sides, from ``reduce``.
        centred: take away each neuron's mean.

    Returns:
        X's vectors and Y's, as long as the activations are.
    """
    squares = np.diagonal(pair.second_moments)
    live = squares > 0
    kept = ~constants(pair) if centred else live
    coordinates = pair.factor[:, kept[live]] * np.sqrt(squares[kept])
    means = pair.sums[kept] / np.sqrt(pair.samples) if centred else np.zeros(kept.sum())
    n_x = int(kept[: pair.neurons_x].sum())
    return (
        Vectors(coordinates[:, :n_x], means[:n_x]),
        Vectors(coordinates[:, n_x:], means[n_x:]),
    )


def orthonormal_basis(vectors: Vectors, *, centred: bool = True) -> Vectors:
    """An orthonormal basis of the span of some neurons.

    With the neurons scaled to norm 1, pivoted QR and R's rows from the first of
    |R_ii| <= tolerance left out, Q is a basis, uncentred. Its Gram matrix is I - u u' when centred,
    with u = R^-T m, and Q (I - u u')^(-1/2) a basis again. If the constant vector is in the span,
    |u| = 1 and one direction fewer is left.

    Args:
        vectors: from ``neuron_vectors``.
        centred: as there.

    Returns:
        Basis vectors b with <b_i, b_j> = 1 if i = j, else 0; as many as the rank.
    """
    if vectors.coordinates.shape[1] == 0:
        return vectors
    norms = np.linalg.norm(vectors.coordinates, axis=0)
    directions, upper, order = scipy.linalg.qr(
        vectors.coordinates / norms, mode="economic", pivoting=True, check_finite=False
    )
    diagonal = np.abs(np.diagonal(upper))
    tolerance = CENTRED_RANK_TOLERANCE if centred else RANK_TOLERANCE * len(norms)
    rank = int((diagonal > tolerance).sum())
    directions = directions[:, :rank]
    if not centred:
        return Vectors(directions, np.zeros(rank))
    unit_means = (vectors.means / norms)[order[:rank]]
    constant = scipy.linalg.solve_triangular(upper[:rank, :rank], unit_means, trans="T")
    whitener = _inverse_root(constant, SAFE_SQUARE + SUM_ROUNDING / diagonal[:rank].min())
    return Vectors(directions @ whitener, constant @ whitener)


def _inverse_root(constant: np.ndarray, tolerance: float) -> np.ndarray:
    """W with W'(I - u u')W = I, of all of u's space, or of what is orthogonal to u if |u| is 1."""
    square = float(constant @ constant)
    eye = np.eye(len(constant))
    if square == 0.0:
        return eye
    if 1.0 - square <= tolerance:
        complement: np.ndarray = scipy.linalg.qr(constant[:, None])[0][:, 1:]
        return complement
    stretch = 1.0 / np.sqrt(1.0 - square) - 1.0
    root: np.ndarray = eye + (stretch / square) * np.outer(constant, constant)
    return root
