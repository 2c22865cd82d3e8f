"""Warnings about results that are valid but need care."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import subspace_match as sm
from subspace_match.matching.null import null_paths
from subspace_match.matching.validation import FEW_SAMPLES, FewSamplesWarning

RNG = np.random.default_rng(0)


def few(neurons: int, samples: int) -> str:
    ratio = f"{neurons / samples:.2f} neurons per sample"
    return rf"{ratio} \({neurons} neurons, {samples} samples\); above 0\.2 part .* is chance"


@pytest.mark.parametrize(("neurons_x", "neurons_y"), [(21, 3), (3, 21), (50, 50)])
def test_few_samples_give_one_warning(neurons_x, neurons_y):
    """Above the same number of neurons per sample as in the command line and the tables."""
    x, y = RNG.normal(size=(100, neurons_x)), RNG.normal(size=(100, neurons_y))
    message = few(max(neurons_x, neurons_y), 100)
    with pytest.warns(FewSamplesWarning, match=message) as caught:
        sm.reduce(x, y)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(FewSamplesWarning, match=message) as caught:
        sm.maximum_match(x, y, 0.3)
    assert len(caught) == 1
    with pytest.warns(FewSamplesWarning, match=message) as caught:
        sm.heat_map([y[:, :2], x], [y[:, :1], y], [0.3])
    assert len(caught) == 1


def test_enough_samples_give_no_warning():
    x, y = RNG.normal(size=(2, 100, int(100 * FEW_SAMPLES)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = sm.match_path(sm.reduce(x, y))
        path.verify(0.3)
        sm.all_measures(path.pair)
        sm.heat_map([x], [y], [0.3])


def test_warnings_can_be_silenced_by_category():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", sm.FewSamplesWarning)
        warnings.simplefilter("ignore", sm.MeasureWarning)
        sm.all_measures(sm.reduce(np.ones((5, 3)), RNG.normal(size=(5, 3))))


def test_permutations_do_not_repeat_the_warning():
    x, y = RNG.normal(size=(2, 50, 30))
    with pytest.warns(FewSamplesWarning):
        pair = sm.reduce(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(null_paths(pair, x, y, [RNG.permutation(50) for _ in range(3)]))


@pytest.mark.parametrize("dead", [*itertools.product([True, False], repeat=2)])
def test_dead_layers_print_nothing(dead, device, capfd):
    """LAPACK prints an error message for an empty matrix, so it must not get one."""
    x, y = RNG.normal(size=(2, 60, 5))
    x, y = x * (not dead[0]), y * (not dead[1])
    pair = sm.reduce(x, y, device=device)
    path = sm.match_path(pair, device=device)
    certificate = path.verify(0.3, device=device)
    assert certificate.sound
    assert certificate.complete
    sm.minimal_matches(path, 0.3)
    sm.minimal_match(path, 0.3, ("x", 1))
    sm.simple_matches(path)
    sm.all_measures(pair)
    sm.heat_map([x], [y, x], [0.3], device=device)
    list(null_paths(pair, x, y, [RNG.permutation(60)], device=device))
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")
