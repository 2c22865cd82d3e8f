"""Cross-fitted and held-out paths: similarities that few images do not flatter.

``match_path`` fits coefficients on the samples on which it measures distances. With n neurons and d
samples, the fitted distance is sigma sqrt(1 - n/d) on average, where sigma is the distance in the
population: too small. The same coefficients measured on new samples give about
sigma / sqrt(1 - n/d): too large. The geometric mean of both is sigma, whatever the effective d,
which nobody knows if samples depend on one another (ours).

So fit on one half of the images. Let r_in be a neuron's relative distance on this half, and r_out
its distance with the same coefficients on the other half. The cross-fitted distance r is the
geometric mean of r_in and r_out in both directions: r^2 = r_in r_out, averaged geometrically over
the fit on either half. The held-out distance is the geometric mean of both r_out.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .backends import resolve_device
from .backends.base import DeviceLike
from .path import CriticalEpsilons
from .peeling.halves import Half, peel_halves
from .reduction.halves import HalvedMoments
from .reduction.moments import PairMoments
from .ties import lower_by_margin
from .validation import FewSamplesWarning, check_type


@dataclass(frozen=True, eq=False, repr=False)
class CrossFittedPath(CriticalEpsilons):
    """Nested sets of neurons that are near one another also on images on which nothing was fitted.

    Attributes:
        critical_epsilon_x: (n_x,) float64, the smallest epsilon at which the neuron is in the set;
            1 for a neuron that is dead on one half; NaN for a dead neuron, and for all neurons if
            there are too few images.
        critical_epsilon_y: (n_y,) float64, the same for Y's neurons.
        note: why there are no distances, if there are too few images; otherwise empty. Similarities
            and area are then NaN.
    """

    note: str = ""

    @property
    def area(self) -> float:
        """Area under the similarity curve, as ``MatchPath.area``; NaN with a ``note``."""
        return np.nan if self.note else super().area

    def similarity(self, epsilon: float | Sequence[float] | np.ndarray) -> float | np.ndarray:
        """Return the fraction of neurons in the set at epsilon; NaN with a ``note``.

        Takes, returns and raises what ``MatchPath.similarity`` does.
        """
        known = super().similarity(epsilon)
        return known * np.nan if self.note else known


def cross_fitted_path(halves: HalvedMoments, *, device: DeviceLike = "auto") -> CrossFittedPath:
    """Compute the cross-fitted path: all epsilons at once, by peeling on cross-fitted distances.

    As ``match_path``, remove the farthest neuron again and again. The critical epsilon of a neuron
    is the smallest distance of all removals up to its own. So at every epsilon each neuron of the
    set is at most epsilon from the other side's neurons in the set.

    That set is a match, but not proved to be the largest one. The fitted distance can only grow
    when the other side shrinks, which makes the union of two matches a match (Wang et al. 2018,
    Lemma 2). The held-out distance, and with it the product, can also fall: a neuron that predicts
    nothing on new images adds noise. So another order of removal can end in another set. Removing
    the farthest neuron first, one at a time, removes none because of others that leave anyway. In
    simulated layers of 24 + 24 neurons (``benchmarks/bench_cross_fitted.py``, 50 cases each) other
    orders ended elsewhere in no case at 0.1 neurons per image; in 2 to 6% at 0.2, always with fewer
    neurons; in 16 to 20% at 0.4, of which in 4 to 6% with more; by at most 5 neurons.

    A neuron that is dead on one half is in no set. A neuron that adds a direction to its side, but
    not on both halves (on one less than 0.001 of what it adds on the other), has no coefficient: it
    may be in a set, and counts in no span. ReLU neurons at a cliff are harder than linear ones:
    just above an epsilon at which most neurons leave together, the cross-fitted similarity falls
    short, since one neuron lost to noise takes the others with it (0.12 on average at 0.2 neurons
    per image in a simulation, where the match path is 0.08 too high). The area is hardly affected
    (0.007 there). The exception are layers that are wider than what feeds them, and whose ReLU
    neurons are active on nearly all images: they are nearly linear functions of it, and few images
    decide how a fit distinguishes them (areas of 0.5 to 0.9, where the truth was 0.9, with 40
    neurons of 6 inputs on 400 images).

    Costs O(n^2) per removal, and O(n^3) in all. Rounding errors are as in ``match_path``, but if a
    fit leaves nothing on its half, the distance is 0 only up to 1e-3: it is the fourth root of a
    product with a factor of rounding, about 1e-16.

    Args:
        halves: moments of two halves of the images, from ``reduce_halves``.
        device: "cpu", "cuda" or "auto", where to compute.

    Returns:
        The path, on the CPU. If a side has as many live neurons as a half has images or more, a fit
        leaves no residual; critical epsilons and similarities are then NaN, and ``note`` says why.

    Raises:
        ValueError: if the device is unknown, absent or without float64.

    Warns:
        FewSamplesWarning: if there are too few images for any distance.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> rng = np.random.default_rng(0)
        >>> hidden = rng.normal(size=(80, 10))
        >>> x, y = (hidden + 0.5 * rng.normal(size=(80, 10)) for _ in range(2))
        >>> halves = sm.reduce_halves(x, y)
        >>> sm.cross_fitted_path(halves).area < sm.match_path(halves.whole).area
        True
    """
    return _paths(halves, device, [False])[0]


def held_out_path(halves: HalvedMoments, *, device: DeviceLike = "auto") -> CrossFittedPath:
    """Compute the held-out path: as ``cross_fitted_path``, but by held-out distances alone.

    Coefficients are fitted on one half of the images only, and measured on the other. So held-out
    distances are too large, as in-sample distances are too small, and the truth is between them.

    Args:
        halves: moments of two halves of the images, from ``reduce_halves``.
        device: "cpu", "cuda" or "auto", where to compute.

    Returns:
        The path; see ``cross_fitted_path``, also for errors and warnings.

    Example:
        >>> import numpy as np, subspace_match as sm
        >>> rng = np.random.default_rng(0)
        >>> hidden = rng.normal(size=(80, 10))
        >>> x, y = (hidden + 0.5 * rng.normal(size=(80, 10)) for _ in range(2))
        >>> halves = sm.reduce_halves(x, y)
        >>> sm.held_out_path(halves).area < sm.cross_fitted_path(halves).area
        True
    """
    return _paths(halves, device, [True])[0]


def paths_of_new_images(
    halves: HalvedMoments, *, device: DeviceLike = "auto"
) -> tuple[CrossFittedPath, CrossFittedPath]:
    """Compute ``cross_fitted_path`` and ``held_out_path``, which share their factorisation.

    Args:
        halves: moments of two halves of the images, from ``reduce_halves``.
        device: "cpu", "cuda" or "auto", where to compute.

    Returns:
        The cross-fitted and the held-out path; see ``cross_fitted_path``, also for errors and
        warnings.
    """
    cross_fitted, held_out = _paths(halves, device, [False, True])
    return cross_fitted, held_out


def _paths(
    halves: HalvedMoments, device: DeviceLike, held_out_only: Sequence[bool]
) -> list[CrossFittedPath]:
    check_type("halves", halves, HalvedMoments, "the moments of two halves, reduce_halves(x, y)")
    live, neurons_x = halves.whole.live, halves.whole.neurons_x
    neurons, images = max(live[:neurons_x].sum(), live[neurons_x:].sum()), min(halves.images)
    if neurons >= images:
        note = (
            f"NaN, since cross-fitting needs fewer live neurons than images in a half, found"
            f" {neurons} neurons and {images} images"
        )
        warnings.warn(f"{note}; use more images", FewSamplesWarning, stacklevel=3)
        unknown = np.full(len(live), np.nan)
        path = CrossFittedPath(unknown[:neurons_x], unknown[neurons_x:], note)
        return [path for _ in held_out_only]
    in_both = np.flatnonzero(halves.first.live & halves.second.live)
    margin = max(halves.first.tie_margin, halves.second.tie_margin)
    paths = []
    for order, distances in peel_halves(
        [_half(pair, in_both) for pair in (halves.first, halves.second)],
        int((in_both < neurons_x).sum()),
        resolve_device(device),
        held_out_only,
    ):
        critical = np.where(live, 1.0, np.nan)
        critical[in_both[order]] = lower_by_margin(np.minimum.accumulate(distances), margin)
        paths.append(CrossFittedPath(critical[:neurons_x], critical[neurons_x:]))
    return paths


def _half(pair: PairMoments, neurons: np.ndarray) -> Half:
    """Return these neurons, all live, on one half."""
    live, norms = np.flatnonzero(pair.live), pair.norms[neurons]
    factor, products = pair.factor, pair.unit_products
    if len(neurons) < len(live):
        places = np.flatnonzero(np.isin(live, neurons))
        factor = factor[:, places]
        products = None if products is None else products[np.ix_(places, places)]
    return Half(factor, norms, products)
