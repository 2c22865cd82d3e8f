import numpy as np

from subspace_match.results.top_images import top_images


def test_an_image_counts_by_its_strongest_position() -> None:
    rng = np.random.default_rng(0)
    activations, images = rng.random((300, 4)), np.sort(rng.integers(0, 40, 300)) * 3
    found, strength = top_images(activations, images)
    assert found.shape == strength.shape == (4, 9)
    for neuron in range(4):
        highest = {image: activations[images == image, neuron].max() for image in set(images)}
        order = sorted(highest, key=lambda image, highest=highest: -highest[image])[:9]
        assert found[neuron].tolist() == order
        assert strength[neuron].tolist() == [highest[image] for image in order]


def test_of_equals_the_first_and_no_more_than_there_are() -> None:
    found, strength = top_images(np.zeros((5, 1)), np.array([2, 2, 4, 8, 8]))
    assert found.tolist() == [[2, 4, 8]]
    assert strength.tolist() == [[0, 0, 0]]
