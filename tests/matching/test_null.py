"""The null distribution equals matching permuted samples directly."""

import cases
import numpy as np
import pytest
from helpers import Recorder, path_of
from oracles import relative_distance

import subspace_match as sm
from subspace_match.matching import null
from subspace_match.matching.backends.numpy_ import Cpu
from subspace_match.matching.backends.torch_ import TorchDevice
from subspace_match.matching.null import NullNeurons, null_neurons, null_paths
from subspace_match.matching.peeling import peel, permuted_numpy
from subspace_match.matching.peeling.updates import SpanUpdates
from subspace_match.matching.permutation_test import p_values


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_null_paths_equal_matching_permuted_samples(case, device: str) -> None:
    rng = np.random.default_rng(0)
    x, y = case(rng)
    orders = [rng.permutation(len(x)) for _ in range(3)]
    found = null_paths(sm.reduce(x, y, device=device), x, y, orders, device=device)
    for path, order in zip(found, orders, strict=True):
        expected = path_of(x, y[order], device)
        for epsilon in cases.EPSILONS:
            one, other = path.maximum_match(epsilon), expected.maximum_match(epsilon)
            assert one.x.tolist() == other.x.tolist()
            assert one.y.tolist() == other.y.tolist()


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_permutations_that_run_together_have_the_same_critical_epsilons(case, device) -> None:
    rng = np.random.default_rng(0)
    x, y = case(rng)
    pair, orders = sm.reduce(x, y, device="cpu"), [rng.permutation(len(x)) for _ in range(4)]
    together = null_neurons(pair, x, y, orders, device=device)
    alone = null_paths(pair, x, y, orders, device="cpu")
    for found, path in zip(together, alone, strict=True):
        np.testing.assert_allclose(found.critical_epsilon, path.critical_epsilon, rtol=0, atol=1e-8)


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
def test_distances_under_a_permutation_are_those_from_all_of_the_other_side(case, device) -> None:
    rng = np.random.default_rng(0)
    x, y = case(rng)
    order, pair = rng.permutation(len(x)), sm.reduce(x, y, device="cpu")
    (found,) = null_neurons(pair, x, y, [order], device=device)
    live, width = pair.live, x.shape[1]
    x, y = x[:, live[:width]].astype(np.float64), y[order][:, live[width:]].astype(np.float64)
    expected = np.full(len(live), np.nan)
    expected[live] = np.concatenate([relative_distance(x, y), relative_distance(y, x)])
    np.testing.assert_allclose(found.distance, expected, rtol=0, atol=1e-7)
    assert (found.distance <= found.critical_epsilon + 1e-7)[live].all()


@pytest.mark.parametrize(("case", "count"), [(cases.related, 4), (cases.near_duplicates, 0)])
@pytest.mark.parametrize("device", ["cpu", TorchDevice("cpu")], ids=["numpy", "torch"])
def test_independent_layers_are_peeled_together(case, count, device, monkeypatch) -> None:
    """All permutations of a layer of independent neurons, and none of near copies."""
    alone = []
    monkeypatch.setattr(
        null, "path_and_distances", lambda pair, _: alone.append(pair) or (path, None)
    )
    rng = np.random.default_rng(0)
    x, y = case(rng)
    path = sm.match_path(sm.reduce(x, y, device="cpu"), device="cpu")
    orders = [rng.permutation(len(x)) for _ in range(4)]
    list(null_neurons(path.pair, x, y, orders, device=device))
    assert len(alone) == 4 - count


def nearly_dependent(distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Two layers with neurons on each side that are this far from each other, and a dead one."""
    rng = np.random.default_rng(0)
    x, y = cases.related(rng)
    x[:, 1], y[:, 2] = x[:, 0], y[:, 5]
    x, y = (side + distance * rng.normal(size=side.shape) for side in (x, y))
    x[:, 4] = 0
    return x, y


@pytest.mark.parametrize(
    ("distance", "together"), [(2e-3, 7), (1e-3, 7), (5e-4, 0), (1e-5, 0), (1e-7, 0)]
)
def test_nearly_dependent_layers_are_peeled_together_as_long_as_no_digits_are_lost(
    distance: float, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = nearly_dependent(distance)
    pair = sm.reduce(x, y, device="cpu")
    assert not pair.well_conditioned
    rng = np.random.default_rng(1)
    orders = [rng.permutation(len(x)) for _ in range(7)]
    expected = [path_of(x, y[order], "cpu").critical_epsilon for order in orders]
    alone, peel_alone = [], null.path_and_distances
    monkeypatch.setattr(
        null, "path_and_distances", lambda *pair: alone.append(1) or peel_alone(*pair)
    )
    found = NullNeurons.stacked(null_neurons(pair, x, y, orders, device="cpu"))
    np.testing.assert_allclose(found.critical_epsilon, expected, rtol=0, atol=1e-8)
    assert len(alone) == 7 - together


@pytest.mark.parametrize("case", [cases.near_duplicates, cases.dependent])
def test_one_factorisation_gives_the_path_and_the_distances(case, device, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    x, y = case(rng)
    pair, orders = sm.reduce(x, y, device="cpu"), [rng.permutation(len(x)) for _ in range(3)]
    factored, factor_spans = [], peel.factor_spans
    monkeypatch.setattr(
        *(peel, "factor_spans"),
        lambda *spans, **options: factored.append(1) or factor_spans(*spans, **options),
    )
    list(null_neurons(pair, x, y, orders, device=device))
    assert len(factored) == 3


def test_digits_lost_over_several_blocks_of_removals_are_noticed_on_every_device() -> None:
    """Ever farther near copies of column 0 leave, one per block; column 0 is the last.

    Each lowers its diagonal entry by less than what is allowed, all together by far more.
    """
    torch = pytest.importorskip("torch")
    from subspace_match.matching.peeling import permuted_torch

    block, count = SpanUpdates.BLOCK, 4 * SpanUpdates.BLOCK
    columns = np.eye(count)
    for copy, distance in enumerate((1e-6, 1.1e-5, 1.1e-3), 1):
        columns[0, copy], columns[copy, copy] = 1, distance
    columns /= np.linalg.norm(columns, axis=0)
    matrix = np.zeros((1, count + 1, count + 1))  # of all columns, and of one of the other side
    matrix[0, :count, :count] = np.linalg.inv(columns.T @ columns)
    matrix[0, count, count] = 1
    order = [1, *range(4, 3 + block), 2, *range(3 + block, 2 + 2 * block), 3]
    order += [*range(2 + 2 * block, count), 0]
    squares = np.empty((1, count + 1))
    squares[0, order], squares[0, count] = np.linspace(0.9, 0.1, count), 0.01

    on_cpu = permuted_numpy._Stack(matrix.copy(), squares.copy(), count)
    removed, _ = on_cpu.remove_all()
    assert removed[0].tolist()[: 2 * block + 1] == order[: 2 * block + 1]
    assert on_cpu.accurate.tolist() == [False]
    on_torch = permuted_torch._Stack(torch.from_numpy(matrix), torch.from_numpy(squares), count)
    while on_torch._left:
        on_torch.remove_block()
    assert on_torch.accurate.tolist() == [False]


@pytest.mark.parametrize("stack_bytes", [1, 2**14, 2**24])
def test_stacks_of_any_size_give_the_same_critical_epsilons(
    stack_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More neurons than a block of removals has, and one permutation to all in a stack."""
    rng = np.random.default_rng(0)
    x, y = (np.maximum(0, rng.normal(size=(900, n))) for n in (90, 60))
    pair, orders = sm.reduce(x, y, device="cpu"), [rng.permutation(900) for _ in range(5)]
    expected = [path.critical_epsilon for path in null_paths(pair, x, y, orders, device="cpu")]
    monkeypatch.setattr(permuted_numpy, "STACK_BYTES", stack_bytes)
    found = NullNeurons.stacked(null_neurons(pair, x, y, orders, device="cpu"))
    np.testing.assert_allclose(found.critical_epsilon, expected, rtol=0, atol=1e-12)


def test_each_path_keeps_its_own_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """As reduce returns it, with all permutations in one batch and with two per batch."""
    rng = np.random.default_rng(0)
    x, y = cases.related(rng)
    pair, orders = sm.reduce(x, y), [rng.permutation(len(x)) for _ in range(5)]
    monkeypatch.setattr(Cpu, "chunk_bytes", 8 * 44 * 37)
    for batch_bytes in (null.BATCH_BYTES, 8 * (2 * 24 * 20 + 150) * 2):
        monkeypatch.setattr(null, "BATCH_BYTES", batch_bytes)
        for path, order in zip(list(null.null_paths(pair, x, y, orders)), orders, strict=True):
            expected = sm.reduce(x, y[order])
            for name in ("second_moments", "sums"):
                one, other = getattr(path.pair, name), getattr(expected, name)
                np.testing.assert_allclose(one, other, rtol=1e-12)
            assert path.verify(0.3).sound


def test_samples_are_read_once_for_all_permutations() -> None:
    rng = np.random.default_rng(0)
    layers = cases.related(rng)
    pair = sm.reduce(*layers)
    x, y = map(Recorder, layers)
    list(null.null_paths(pair, x, y, [rng.permutation(150) for _ in range(7)]))
    assert (x.reads, y.reads) == (1, 1)


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7])
def test_permutations_of_near_copies_need_no_second_read(distance: float) -> None:
    """One dead neuron, and copies of both kinds: on the same side and on the other one."""
    rng = np.random.default_rng(0)
    x, y = cases.related(rng)
    x[:, 1], y[:, 2] = x[:, 0], y[:, 5]
    y[:, 7] = x[:, 3]
    x, y = (side + distance * rng.normal(size=side.shape) for side in (x, y))
    x[:, 4] = 0
    pair = sm.reduce(x, y, device="cpu")
    assert not pair.well_conditioned
    recorder = Recorder(x)
    orders = [rng.permutation(150) for _ in range(5)]
    for path, order in zip(
        null_paths(pair, recorder, y, orders, device="cpu"), orders, strict=True
    ):
        expected = path_of(x, y[order], "cpu")
        np.testing.assert_allclose(path.critical_epsilon, expected.critical_epsilon, atol=1e-8)
        for name in ("second_moments", "factor_moments"):
            one, other = (moments_of(each.pair, name) for each in (path, expected))
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-11 * np.abs(other).max())
        assert path.verify(0.5, device="cpu").sound
    assert recorder.reads == 2


def moments_of(pair: sm.PairMoments, name: str) -> np.ndarray:
    """Return the pair's moments, or those of its factor's columns."""
    return pair.factor.T @ pair.factor if name == "factor_moments" else pair.second_moments


@pytest.mark.parametrize("relu", [False, True])
def test_unrelated_activations_have_the_theoretical_distance(relu: bool) -> None:
    """About sqrt(1 - n/d), and sqrt((1 - 1/pi)(1 - n/d)) for uncentred ReLU activations."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 2000, 300))
    if relu:
        x, y = np.maximum(x, 0), np.maximum(y, 0)
    expected = np.sqrt((1 - 1 / np.pi if relu else 1) * (1 - 300 / 2000))
    pair = sm.reduce(x, y)
    for path in null_paths(pair, x, y, [rng.permutation(2000) for _ in range(3)]):
        assert path.similarity(expected - 0.05) == 0.0
        assert path.similarity(expected + 0.05) > 0.9


def test_the_identity_permutation_gives_the_observed_path() -> None:
    x, y = cases.related(np.random.default_rng(0))
    pair = sm.reduce(x, y)
    (path,) = null_paths(pair, x, y, [np.arange(len(x))])
    expected = sm.match_path(pair)
    np.testing.assert_allclose(path.critical_epsilon_x, expected.critical_epsilon_x, atol=1e-9)


def test_p_values_of_unrelated_layers_are_uniform() -> None:
    """P(p <= a) is about a."""
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        x, y = rng.normal(size=(2, 30, 3))
        pair = sm.reduce(x, y)
        permuted = null_paths(pair, x, y, [rng.permutation(30) for _ in range(19)])
        epsilons = np.array([0.93])
        similarities = np.stack([path.similarity(epsilons) for path in permuted])
        found.append(p_values(sm.match_path(pair).similarity(epsilons), similarities)[0])
    assert np.mean(np.array(found) <= 0.05) <= 0.1
    assert np.min(found) >= 1 / 20


def test_an_order_that_is_not_a_permutation_is_refused() -> None:
    x, y = cases.related(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"orders: expected permutations of 150 samples"):
        list(null_paths(sm.reduce(x, y), x, y, [np.zeros(150, dtype=int)]))


def test_layers_of_another_pair_are_refused() -> None:
    x, y = cases.related(np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"pair's samples and neurons \(150, 24, 20\), found \(1"):
        list(null_paths(sm.reduce(x, y), x[:, :3], y, []))
