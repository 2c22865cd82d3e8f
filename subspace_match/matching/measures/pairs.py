"""What a measure reads of a pair: each side's neurons, as coordinates in a factor.

Measures are defined on activations with each neuron's mean taken away, and depend on them through
inner products only. The columns of the centred factor have those of the neurons, so they stand for
them: no measure squares them without need, and none subtracts a mean.

A neuron that is constant (a dead one among them) has no part in any centred measure. What is left
of it after centring is rounding, so its column is set to exactly 0. A measure that divides by a
side's variance is NaN where that side has only constant neurons: 0 / 0 has no value to give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .values import UndefinedError

# Of unit columns, before centring, times their number: as in matching, where a near copy still adds
# a direction. A constant is a near copy of the constant direction, so it is told by the same.
RANK_TOLERANCE = 1e-13


class Moments(Protocol):
    """What measures read of ``PairMoments``. Stated for itself, since none of it needs torch.

    Attributes:
        norms: of every neuron, with its mean, (n,) float64; 0 if it is dead.
        length_products: [[sum a^2, sum a b], [sum a b, sum b^2]] over the samples, (2, 2) float64,
            with a a sample's share of sum |x - mean x|^2, and b of sum |y - mean y|^2.
        neurons_x: n_x, the first n_x neurons are X's.
        samples: d.
        factor: F with F'F the moments of the live columns scaled to norm 1, (k, live) float64.
        centred_factor: likewise of the live columns without their means, scaled by the same norms;
            None where neither the moments nor a second read gave it.
    """

    @property
    def norms(self) -> np.ndarray: ...  # noqa: D102
    @property
    def length_products(self) -> np.ndarray: ...  # noqa: D102
    @property
    def neurons_x(self) -> int: ...  # noqa: D102
    @property
    def samples(self) -> int: ...  # noqa: D102
    @property
    def factor(self) -> np.ndarray: ...  # noqa: D102
    @property
    def centred_factor(self) -> np.ndarray | None: ...  # noqa: D102


@dataclass(frozen=True)
class Side:
    """One side's neurons as columns of coordinates, which have the neurons' inner products.

    Attributes:
        name: "x" or "y".
        unit: (k, n) float64, each in units of its neuron's norm before centring; 0 for a neuron
            that is constant, or if not centred, dead.
        neurons: (k, n) float64, all in one unit, the norm of the longest: so their squares, and the
            squares of these, are float64 numbers whatever the activations are.
    """

    name: str
    unit: np.ndarray
    neurons: np.ndarray

    @property
    def has_variance(self) -> bool:
        """Whether any neuron is not 0."""
        return bool(self.unit.any())


def sides(pair: Moments, *, centred: bool = True) -> tuple[Side, Side]:
    """Both sides of a pair.

    Args:
        pair: moments of the two sides, from ``reduce``.
        centred: take away each neuron's mean.

    Returns:
        X's neurons and Y's.

    Raises:
        UndefinedError: if the pair has no centred factor.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> pair = sm.reduce(np.array([[1.0, 5], [3, 5]]), np.array([[0.0], [4]]), device="cpu")
        >>> x, y = sides(pair)
        >>> (x.neurons.T @ x.neurons).round(12)
        array([[1., 0.],
               [0., 0.]])
    """
    factor = pair.centred_factor if centred else pair.factor
    if factor is None:
        raise UndefinedError(
            "means are too large beside deviations, or neurons too nearly dependent, for the"
            " moments of permuted samples; reduce x and the permuted y to read them again"
        )
    unit = np.zeros((len(factor), len(pair.norms)))
    unit[:, pair.norms > 0] = factor
    lengths = np.linalg.norm(unit, axis=0)
    unit[:, lengths <= RANK_TOLERANCE * len(lengths)] = 0.0
    both = []
    for name, own in (("x", slice(None, pair.neurons_x)), ("y", slice(pair.neurons_x, None))):
        scales = pair.norms[own]
        longest = (scales * lengths[own] * unit[:, own].any(0)).max()
        both.append(Side(name, unit[:, own], unit[:, own] * (scales / (longest or 1.0))))
    return both[0], both[1]


def varying_sides(pair: Moments) -> tuple[Side, Side]:
    """Both sides, centred.

    Raises:
        UndefinedError: if every neuron of a side is constant; and as ``sides``.
    """
    both = sides(pair)
    constant = [side.name for side in both if not side.has_variance]
    if constant:
        raise UndefinedError(f"every neuron of {' and of '.join(constant)} is constant")
    return both
