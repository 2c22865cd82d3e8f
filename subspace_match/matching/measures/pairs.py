"""What a measure reads of a pair: its moments, and from them the centred ones.

Measures are defined on activations with each neuron's mean taken away. With Z = [X Y] as in
``PairMoments``, column sums s and d samples, the centred moments are C = Z'Z - s s' / d.

A neuron that is constant (a dead one among them) has no part in any centred measure. What is left
of its square after centring is rounding, so it is set to exactly 0. A measure that divides by a
side's variance is NaN where that side has only constant neurons: 0 / 0 has no value to give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

# A squared part of a unit square. Moments carry such parts with an absolute error of about 1e-15,
# so that below 1e-12 (a standard deviation of 1e-6 of the root mean square) it is mostly rounding.
SAFE_SQUARE = 1e-12


class Moments(Protocol):
    """What measures read of ``PairMoments``. Stated for itself, since none of it needs torch.

    Attributes:
        second_moments: Z'Z, (n, n) float64, Z = [X Y] not scaled and not centred.
        sums: column sums of Z, (n,) float64.
        length_products: [[sum a^2, sum a b], [sum a b, sum b^2]] over the samples, (2, 2) float64,
            with a = |x - mean x|^2 and b = |y - mean y|^2.
        neurons_x: n_x, the first n_x rows and columns are X's.
        samples: d.
        factor: F with F'F the moments of the live columns scaled to norm 1, (k, live) float64.
    """

    @property
    def second_moments(self) -> np.ndarray: ...  # noqa: D102
    @property
    def sums(self) -> np.ndarray: ...  # noqa: D102
    @property
    def length_products(self) -> np.ndarray: ...  # noqa: D102
    @property
    def neurons_x(self) -> int: ...  # noqa: D102
    @property
    def samples(self) -> int: ...  # noqa: D102
    @property
    def factor(self) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True)
class CentredMoments:
    """Blocks of C = Z'Z - s s' / d, rows and columns of constant neurons exactly 0.

    Attributes:
        xx: X_c'X_c, (n_x, n_x) float64.
        xy: X_c'Y_c, (n_x, n_y) float64.
        yy: Y_c'Y_c, (n_y, n_y) float64.
    """

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray


def centre(pair: Moments) -> CentredMoments:
    """The centred moments of a pair.

    Args:
        pair: moments of the two sides, from ``reduce``.

    Returns:
        The blocks; a constant neuron's rows and columns are exactly 0.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> pair = sm.reduce(np.array([[1.0, 5], [3, 5]]), np.array([[0.0], [4]]), device="cpu")
        >>> centre(pair).xx
        array([[2., 0.],
               [0., 0.]])
    """
    means = pair.sums / np.sqrt(pair.samples)
    centred = pair.second_moments - np.outer(means, means)
    constant = constants(pair)
    centred[constant], centred[:, constant] = 0.0, 0.0
    x, y = slice(None, pair.neurons_x), slice(pair.neurons_x, None)
    return CentredMoments(centred[x, x], centred[x, y], centred[y, y])


def constants(pair: Moments) -> np.ndarray:
    """Which neurons of Z are constant but for rounding, (n,) bool; a dead neuron is one."""
    squares = np.diagonal(pair.second_moments)
    constant: np.ndarray = squares - pair.sums**2 / pair.samples <= SAFE_SQUARE * squares
    return constant
