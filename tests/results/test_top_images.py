import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from subspace_match.results.top_images import top_images


def sorted_in_full(
    activations: np.ndarray, images: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The oracle: a stable sort of all images of every neuron."""
    distinct, starts = np.unique(images, return_index=True)
    highest = np.maximum.reduceat(activations, starts, axis=0).T
    order = np.argsort(-highest, axis=1, kind="stable")[:, :count]
    return distinct[order], np.take_along_axis(highest, order, axis=1)


@given(
    arrays.arrays(
        np.float32,
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=30),
        elements=st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, np.inf, np.nan]),
    ),
    st.integers(1, 12),
    st.data(),
)
def test_ties_are_decided_as_by_a_full_stable_sort(
    activations: np.ndarray, count: int, data: st.DataObject
) -> None:
    samples = len(activations)
    steps = data.draw(st.lists(st.integers(0, 2), min_size=samples, max_size=samples))
    images = np.cumsum(steps)
    for found, expected in zip(
        top_images(activations, images, count),
        sorted_in_full(activations, images, count),
        strict=True,
    ):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()


def test_the_highest_position_of_an_image_counts() -> None:
    rng = np.random.default_rng(0)
    activations, images = rng.random((300, 4)), np.sort(rng.integers(0, 40, 300)) * 3
    found, strength = top_images(activations, images)
    assert found.shape == strength.shape == (4, 9)
    for neuron in range(4):
        highest = {image: activations[images == image, neuron].max() for image in set(images)}
        order = sorted(highest, key=lambda image, highest=highest: -highest[image])[:9]
        assert found[neuron].tolist() == order
        assert strength[neuron].tolist() == [highest[image] for image in order]


def test_fewer_images_than_asked_for_are_all_returned() -> None:
    found, strength = top_images(np.zeros((5, 1)), np.array([2, 2, 4, 8, 8]))
    assert found.tolist() == [[2, 4, 8]]
    assert strength.tolist() == [[0, 0, 0]]
