"""Fewer images, random labels and shortcuts, each against its definition."""

from pathlib import Path

import numpy as np
import pytest

from subspace_match.data.catalogue import count_test_inputs
from subspace_match.data.conditions import Conditions, with_random_labels, with_shortcut
from subspace_match.data.prepare import prepare
from subspace_match.data.prepared import FileSplit, Split

CLASSES = 10


def grey(count: int, seed: int = 0, channels: int = 1) -> Split:
    """Images of mid-grey, so that every pixel of a square differs from them."""
    labels = np.random.default_rng(seed).integers(CLASSES, size=count)
    images = np.full((count, channels, 32, 32), 128, np.uint8)
    return Split(images, labels, np.arange(count))


def shown(image: np.ndarray) -> int:
    """Return the class whose cell, among 4 x 4 for ten classes, contains the square."""
    rows, columns = np.nonzero((image != 128).all(0))
    assert len(rows) == 16  # half of a cell's 8 pixels, squared
    places = {(row // 8) * 4 + column // 8 for row, column in zip(rows, columns, strict=True)}
    (place,) = places
    inside = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    rows, columns = np.indices(inside.shape[1:])
    assert (inside == np.where((rows + columns) % 2, 0, 255)).all()
    return int(place)


def test_without_conditions_both_splits_stay_as_they_are() -> None:
    train, test = grey(5), grey(3)
    assert Conditions().apply(train, test, CLASSES, 0) == (train, test)


def test_fewer_images_keep_their_labels_and_order_and_larger_numbers_contain_smaller() -> None:
    train, test = grey(200), grey(100, 1)
    few, few_test = Conditions(50, 20).apply(train, test, CLASSES, 0)
    more, _ = Conditions(80, 20).apply(train, test, CLASSES, 0)
    assert (len(few), len(few_test), len(more)) == (50, 20, 80)
    assert (np.diff(few.index) > 0).all()
    assert np.array_equal(few.labels, train.labels[few.index])
    assert set(few.index) < set(more.index)
    other, _ = Conditions(50).apply(train, test, CLASSES, 1)
    assert set(other.index) != set(few.index)


def test_more_images_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"data\.test_images: expected at most the 3 images .* 4"):
        Conditions(test_images=4).apply(grey(5), grey(3), CLASSES, 0)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_random_labels_are_even_and_a_larger_share_contains_a_smaller(share: float) -> None:
    split = Split(np.zeros((4000, 1, 1, 1), np.uint8), np.full(4000, 12), np.arange(4000))
    found = with_random_labels(split, share, CLASSES, [0]).labels
    changed = found != 12
    assert changed.sum() == 4000 * share
    # Even within five standard deviations of a binomial count.
    counts, mean = np.bincount(found[changed]), 400 * share
    assert np.abs(counts - mean).max() < 5 * np.sqrt(0.9 * mean)
    half = with_random_labels(split, share / 2, CLASSES, [0]).labels
    assert (half[half != 12] == found[half != 12]).all()
    assert (split.labels == 12).all()


def test_the_test_labels_stay() -> None:
    train, test = grey(100), grey(50, 1)
    changed, same = Conditions(random_labels=1.0).apply(train, test, CLASSES, 0)
    assert not np.array_equal(changed.labels, train.labels)
    assert same is test


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_square_shows_the_label_in_a_share_of_the_images(share: float, channels: int) -> None:
    split = grey(500, channels=channels)
    found = with_shortcut(split, share, CLASSES, [0])
    classes = np.array([shown(image) for image in found.images])
    right = (classes == split.labels).mean()
    # A random class is right in a tenth of the other images: within five standard deviations.
    expected = share + (1 - share) / CLASSES
    assert abs(right - expected) <= 5 * np.sqrt((1 - share) * 0.09 / 500)
    assert set(classes) == set(range(CLASSES))
    assert (split.images == 128).all()


def test_squares_of_test_images_do_not_depend_on_the_share() -> None:
    (_, random), (_, right) = (
        Conditions(shortcut=share).apply(grey(9), grey(300, 1), CLASSES, 0) for share in (0.0, 1.0)
    )
    assert np.array_equal(random.images, right.images)
    assert np.mean([shown(image) for image in right.images] == right.labels) < 0.2


def test_squares_show_the_random_label_of_an_image() -> None:
    train, _ = Conditions(random_labels=1.0, shortcut=1.0).apply(grey(60), grey(2), CLASSES, 0)
    assert [shown(image) for image in train.images] == train.labels.tolist()


def test_a_shortcut_needs_pixels_for_every_class_and_images_in_memory() -> None:
    with pytest.raises(ValueError, match="33 x 33 pixels for the places of 1025 classes"):
        with_shortcut(grey(2), 1.0, 1025, [0])
    files = FileSplit(("a", "b"), np.arange(2), np.arange(2), Path())
    with pytest.raises(ValueError, match="images that stay in their files"):
        with_shortcut(files, 1.0, 2, [0])


def test_conditions_of_image_files_keep_names_and_labels_together() -> None:
    names = tuple(f"{number}.png" for number in range(40))
    files = FileSplit(names, np.arange(40), np.arange(40), Path("root"))
    train, test = Conditions(train_images=9).apply(files, files, 40, 0)
    assert train.files == tuple(f"{number}.png" for number in train.labels)
    assert (len(train), test, train.root) == (9, files, Path("root"))


def test_a_prepared_data_set_has_its_conditions() -> None:
    settings = {"name": "mnist_5k", "root": None, "test_fraction": 0.2}
    few = {"train_images": 100, "test_images": 50}
    data, plain = (
        prepare(**settings, image_size=32, split_seed=0, **few, **changes)
        for changes in ({"shortcut": 1.0, "random_labels": 0.5}, {})
    )
    assert (data.about["train_images"], data.about["test_images"]) == (100, 50)
    assert count_test_inputs(settings | few) == 50
    assert np.array_equal(data.train.index, plain.train.index)
    assert 30 < (data.train.labels != plain.train.labels).sum() < 51
    # Of the images that networks are trained on, squares included.
    assert data.about["mean"] == pytest.approx([data.train.images.mean() / 255])
    assert data.about["mean"] != plain.about["mean"]
