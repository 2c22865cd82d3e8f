import numpy as np
import pytest

from subspace_match.networks.layer_info import LayerInfo
from subspace_match.networks.sampling import (
    draw_samples,
    draw_shared_positions,
    image_groups,
    image_permutation,
    permuted_samples,
    uses_all_samples,
    within_classes,
)


def test_samples_are_distinct_and_equal_in_every_network() -> None:
    layer = LayerInfo("conv2", "a", "conv", 8, 4, 6)
    drawn = draw_samples(layer, 100, 500, 1, seed=0)[0]
    assert len(set(drawn.tolist())) == 500
    assert drawn.min() >= 0
    assert drawn.max() < 100 * 24
    assert (np.diff(drawn) > 0).all()
    same = LayerInfo("conv9", "b", "conv", 3, 4, 6)
    assert np.array_equal(draw_samples(same, 100, 500, 1, seed=0)[0], drawn)
    assert not np.array_equal(draw_samples(layer, 100, 500, 1, seed=1)[0], drawn)


def test_positions_are_spread_evenly_over_images_and_places() -> None:
    drawn = draw_samples(LayerInfo("conv1", "a", "conv", 8, 2, 2), 5000, 10_000, 1, seed=0)[0]
    assert np.bincount(drawn // 4).tolist() == [2] * 5000
    # 100 groups of 50 images: the standard deviation is 50 * sqrt(100 / 4) = 250.
    assert abs(np.bincount(drawn % 4) - 2500).max() < 750


@pytest.mark.parametrize(("kind", "positions"), [("fc", 1), ("conv", 400), ("conv", 399)])
def test_a_layer_that_uses_all_samples_has_one_draw(kind: str, positions: int) -> None:
    layer = LayerInfo("a", "a", kind, 8, 2, 2)
    drawn = draw_samples(layer, 100, positions, 3, seed=0)
    assert uses_all_samples(layer, 100, positions) == (positions != 399)
    assert [len(own) for own in drawn] == ([400] if positions != 399 else [300] * 3)


@pytest.mark.parametrize(
    ("images", "positions"), [(1000, 10_000), (4000, 500), (4000, 30), (37, 100), (1000, 10**7)]
)
def test_images_can_be_permuted_within_groups(images: int, positions: int) -> None:
    layer, vectors = LayerInfo("conv1", "a", "conv", 8, 4, 6), LayerInfo("fc1", "a", "fc", 8, 1, 1)
    samples = draw_samples(layer, images, positions, 1, seed=0)[0]
    assert 0.6 * min(positions, images * 24) <= len(samples) <= positions
    groups = image_groups(images, positions, seed=0)
    assert sorted(np.concatenate(groups)) == list(range(images))
    order = image_permutation(groups, np.random.default_rng(0))
    rows = permuted_samples(samples, layer, order)
    assert sorted(rows) == list(range(len(samples)))
    assert np.array_equal(samples[rows] % 24, samples % 24)
    assert np.array_equal(samples[rows] // 24, order[samples // 24])
    images_themselves = draw_samples(vectors, images, positions, 1, seed=0)[0]
    assert np.array_equal(permuted_samples(images_themselves, vectors, order), order)


def test_a_permutation_across_groups_is_refused() -> None:
    layer = LayerInfo("conv1", "a", "conv", 8, 4, 6)
    samples = draw_samples(layer, 200, 400, 1, seed=0)[0]
    with pytest.raises(ValueError, match="conv1: expected a permutation within groups"):
        permuted_samples(samples, layer, np.roll(np.arange(200), 1))


def test_all_samples_are_used_if_there_are_no_more_than_asked_for() -> None:
    assert draw_samples(LayerInfo("conv1", "a", "conv", 8, 2, 2), 10, 40, 1, seed=0)[
        0
    ].tolist() == [*range(40)]
    vectors = LayerInfo("fc1", "a", "fc", 8, 1, 1)
    assert draw_samples(vectors, 60, 40, 1, seed=0)[0].tolist() == [*range(60)]


def test_draws_are_independent_and_each_can_be_permuted() -> None:
    layer = LayerInfo("conv1", "a", "conv", 8, 4, 6)
    for positions in (500, 70):  # positions from all images; from some groups of images
        one, *others = draw_samples(layer, 100, positions, 3, seed=2)
        assert all(0.6 * positions <= len(draw) == len(one) for draw in others)
        assert not any(np.array_equal(one, other) for other in others)
        assert all(len(np.intersect1d(one, other)) < 0.8 * len(one) for other in others)
        order = image_permutation(image_groups(100, positions, 2), np.random.default_rng(0))
        for draw in (one, *others):
            assert sorted(permuted_samples(draw, layer, order)) == list(range(len(draw)))
    assert len(draw_samples(layer, 100, 10**6, 3, seed=0)) == 1


def test_places_are_the_same_points_of_the_same_images_in_all_layers() -> None:
    fine, coarse = (LayerInfo(f"conv{n}", "a", "conv", 8, n * 4, n * 4) for n in (2, 1))
    vectors = LayerInfo("fc1", "a", "fc", 8, 1, 1)
    samples = draw_shared_positions([fine, coarse, vectors], 30, 1000, seed=0)
    image, place = np.divmod(samples["conv2"], 64)
    assert (np.diff(image) >= 0).all()
    assert set(np.bincount(image)) == {33}  # no image counts more than another
    row, column = np.divmod(place, 8)
    assert len(set(place)) == 64
    assert np.array_equal(samples["conv1"], image * 16 + row // 2 * 4 + column // 2)
    assert np.array_equal(samples["fc1"], image)
    again = draw_shared_positions([coarse], 30, 1000, seed=0)
    assert np.array_equal(again["conv1"], samples["conv1"])
    assert not np.array_equal(
        draw_shared_positions([coarse], 30, 1000, 1)["conv1"], samples["conv1"]
    )


def test_volumes_are_sampled_at_the_points_of_their_maps_in_all_frames() -> None:
    fine = LayerInfo("conv2", "a", "conv", 8, 6, 8, frames=4)
    coarse = LayerInfo("conv1", "a", "conv", 8, 3, 4, frames=2)
    flat = LayerInfo("conv1", "a", "conv", 8, 3, 4)
    samples = draw_shared_positions([fine, coarse], 30, 9000, seed=0)
    image, frame, row, column = np.unravel_index(samples["conv2"], (30, 4, 6, 8))
    assert len(np.unique(samples["conv2"])) > 2000
    assert set(np.bincount(frame, minlength=4) // 1000) == {2}
    expected = np.ravel_multi_index((image, frame // 2, row // 2, column // 2), (30, 2, 3, 4))
    np.testing.assert_array_equal(samples["conv1"], expected)
    # Maps of one frame are sampled where they are without volumes.
    only = draw_shared_positions([flat], 30, 9000, seed=0)["conv1"]
    np.testing.assert_array_equal(only, image * 12 + row // 2 * 4 + column // 2)


def test_each_draw_has_positions_of_all_frames() -> None:
    layer = LayerInfo("conv1", "a", "conv", 8, 3, 4, frames=5)
    assert layer.positions == 60
    one, other = draw_samples(layer, 100, 1000, 2, seed=0)
    assert len(one) == 1000
    assert not np.array_equal(one, other)
    image, frame, _, _ = np.unravel_index(one, (100, 5, 3, 4))
    assert set(np.bincount(image)) == {10}
    assert set(frame) == set(range(5))
    turned = LayerInfo("conv1", "a", "conv", 8, 4, 15)  # as many positions of another size
    assert not np.array_equal(draw_samples(turned, 100, 1000, 1, seed=0)[0], one)
    groups = image_groups(100, 1000, 0)
    moved = permuted_samples(one, layer, image_permutation(groups, np.random.default_rng(0)))
    np.testing.assert_array_equal(one[moved] % 60, one % 60)


@pytest.mark.parametrize("classes", [10, 100])
def test_groups_hold_several_images_of_a_class(classes: int) -> None:
    labels = np.random.default_rng(0).integers(0, classes, 2000)
    groups = image_groups(2000, 10_000, 0, labels)
    assert sorted(np.concatenate(groups)) == list(range(2000))
    assert {len(group) for group in groups} == {50}
    parts = within_classes(groups, labels)
    assert sorted(np.concatenate(parts)) == list(range(2000))
    assert all(len(set(labels[part])) == 1 for part in parts)
    assert sum(len(part) for part in parts if len(part) > 1) > 0.95 * 2000
    assert 4 <= np.mean([len(part) for part in parts]) <= 6
    # A group has many classes too, so that any image can replace one of another class.
    assert min(len(set(labels[group])) for group in groups) >= 8
    assert not np.array_equal(groups[0], image_groups(2000, 10_000, 1, labels)[0])


def test_few_classes_keep_the_groups_of_images_without_labels() -> None:
    plain = image_groups(300, 10_000, 0)
    for own, other in zip(plain, image_groups(300, 10_000, 0, np.arange(300) % 10), strict=True):
        assert np.array_equal(own, other)


def test_layers_are_sampled_so_that_dealt_images_can_be_permuted() -> None:
    labels = np.random.default_rng(0).integers(0, 40, 400)
    layer = LayerInfo("conv1", "a", "conv", 8, 4, 6)
    samples = draw_samples(layer, 400, 3000, 1, 0, labels)[0]
    parts = within_classes(image_groups(400, 3000, 0, labels), labels)
    order = image_permutation(parts, np.random.default_rng(0))
    assert np.array_equal(labels[order], labels)
    assert sorted(permuted_samples(samples, layer, order)) == list(range(len(samples)))
    images = draw_samples(layer, 400, 70, 1, 0, labels)[0] // 24  # some groups only
    assert len(images) >= 40
