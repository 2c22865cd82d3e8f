"""Two small networks of handwritten digits, the real data behind the pictures of the concepts.

``digits.npz`` holds their weights, so that the pictures are the same on every machine. To train
them anew (two seconds):

    python docs/pictures/digits.py
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

WEIGHTS = Path(__file__).with_name("digits.npz")
HIDDEN = 24
TRAINED_ON = 1_000  # the other 797 images measure accuracy


def images_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's 1,797 digits, (1797, 64) in 0 to 1, and their labels."""
    images, labels = load_digits(return_X_y=True)
    return images / 16, labels


def hidden(seed: int) -> np.ndarray:
    """Return the hidden layer of network 0 or 1 on all digits, (1797, HIDDEN) after the ReLU."""
    with np.load(WEIGHTS) as weights:
        before = images_and_labels()[0] @ weights[f"weights_{seed}"] + weights[f"biases_{seed}"]
    return np.maximum(before, 0)


def train() -> None:
    """Train both networks, print their accuracies, and write their hidden layers' weights."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    images, labels = images_and_labels()
    saved = {}
    for seed in (0, 1):
        options = {"max_iter": 60, "alpha": 0.01, "learning_rate_init": 0.003}
        network = MLPClassifier((HIDDEN,), random_state=seed, **options)
        network.fit(images[:TRAINED_ON], labels[:TRAINED_ON])
        accuracy = network.score(images[TRAINED_ON:], labels[TRAINED_ON:])
        sys.stdout.write(f"network {seed}: {accuracy:.1%} accurate\n")
        saved[f"weights_{seed}"] = network.coefs_[0].astype(np.float32)
        saved[f"biases_{seed}"] = network.intercepts_[0].astype(np.float32)
    np.savez_compressed(WEIGHTS, **saved)


if __name__ == "__main__":
    train()
