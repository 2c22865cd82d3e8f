"""The two sides of a pair as measures read them: neurons as columns of a factor.

Measures are defined on centred activations and depend only on their inner products. The columns of
the centred factor have the same inner products as the centred neurons, so they replace them: no
measure subtracts a mean, and none squares the columns unless its definition does.

Constant neurons (dead ones included) have no effect on centred measures. After centring only
rounding is left of them, so their columns are set to exactly 0. A measure that divides by a side's
variance is NaN if all neurons of that side are constant.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from ..backends.numpy_ import Cpu, pivoted_qr
from ..rank import RANK_TOLERANCE, clearly_independent, rank_of
from ..reduction.moments import PairMoments
from .values import UndefinedError


@dataclass(frozen=True)
class Side:
    """One side's neurons as columns with the inner products of the neurons.

    Attributes:
        name: "x" or "y".
        unit: (k, n) float64, each column in units of its neuron's norm before centring; 0 for a
            constant neuron, or for a dead one without centring.
        neurons: (k, n) float64, all in one unit, the norm of the longest column, so that fourth
            powers neither overflow nor vanish.
    """

    name: str
    unit: np.ndarray
    neurons: np.ndarray

    @property
    def has_variance(self) -> bool:
        """Whether any column is nonzero."""
        return bool(self.unit.any())

    @cached_property
    def orthonormal_basis(self) -> np.ndarray:
        """An orthonormal basis of the columns' span, (k, rank) float64.

        By QR of ``unit``, pivoted unless all columns are clearly independent, without the rows of R
        from the first |R_ii| <= tolerance on. All columns of ``unit`` have the same rounding error,
        so one tolerance separates directions from rounding, however large the means were. The
        tolerance is that of the match, so that a near copy still adds a direction.
        """
        if clearly_independent(self.unit, Cpu()):
            return np.linalg.qr(self.unit).Q
        directions, upper, _ = pivoted_qr(self.unit, "economic")
        basis: np.ndarray = directions[:, : rank_of(upper)]
        return basis


class PairOfSides(PairMoments):
    """A pair whose centred sides, with their bases, are computed once for several measures."""

    @classmethod
    def of(cls, pair: PairMoments) -> PairOfSides:
        """Return the same pair as such a one."""
        return cls(**{field.name: getattr(pair, field.name) for field in fields(pair)})

    @cached_property
    def centred_sides(self) -> tuple[Side, Side]:
        """Both sides, centred."""
        return _sides(self, centred=True)


def sides(pair: PairMoments, *, centred: bool = True) -> tuple[Side, Side]:
    """Return both sides of a pair.

    Args:
        pair: moments of the two sides, from ``reduce``.
        centred: subtract each neuron's mean.

    Returns:
        X's side and Y's side.

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
    if centred and isinstance(pair, PairOfSides):
        return pair.centred_sides
    return _sides(pair, centred=centred)


def _sides(pair: PairMoments, *, centred: bool) -> tuple[Side, Side]:
    factor = pair.centred_factor if centred else pair.factor
    if factor is None:
        raise UndefinedError(
            "means are too large compared with deviations, or neurons too close to linearly"
            " dependent, for the moments of permuted samples; call reduce on x and the permuted y"
        )
    unit = np.zeros((len(factor), len(pair.norms)))
    unit[:, pair.norms > 0] = factor
    lengths = np.linalg.norm(unit, axis=0)
    # What is left of a constant neuron is only rounding.
    unit[:, lengths <= RANK_TOLERANCE * len(lengths)] = 0.0
    both = []
    for name, own in (("x", slice(None, pair.neurons_x)), ("y", slice(pair.neurons_x, None))):
        scales = pair.norms[own]
        longest = (scales * lengths[own] * unit[:, own].any(0)).max()
        both.append(Side(name, unit[:, own], unit[:, own] * (scales / (longest or 1.0))))
    return both[0], both[1]


def varying_sides(pair: PairMoments) -> tuple[Side, Side]:
    """Return both sides, centred.

    Raises:
        UndefinedError: as ``sides``, or if every neuron of a side is constant.
    """
    both = sides(pair)
    constant = [side.name for side in both if not side.has_variance]
    if constant:
        raise UndefinedError(f"every neuron of {' and of '.join(constant)} is constant")
    return both
