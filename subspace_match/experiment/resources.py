"""What a job asks a cluster for: memory, minutes and a GPU. Nothing here changes a result.

Memory follows the size of the work: layer widths, positions, images. The n-th attempt of a job asks
for n times the memory and time. Sizes are those of a process on the CPU; on a GPU most of this
memory is needed there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from ..data.catalogue import SOURCES, count_test_inputs, source_of
from ..networks.layer_info import LayerInfo
from ..networks.sampling import uses_all_samples
from .null_work import null_permutations, null_work
from .plan import Plan, Wildcards

PROCESS_MB = 2000  # Python, torch and the CUDA libraries
SHARD_MB = 64  # an extraction writes a layer's activations in shards of this size
# Upper bounds of the number of n x n float64 matrices alive at once, n neurons of both sides.
MATRICES = 12
HALVES_MATRICES = 28  # moments of two halves of the images and of all; fits on both halves
MINIMAL_MATRICES = 16  # of a search for minimal matches
JOINT_MATRICES = 6  # of a consensus match, n neurons of all networks together
GIGAFLOPS = 10  # one thread of a slow CPU

Work = Callable[[Wildcards], float]  # floating-point operations
Sizes = tuple[int, int, int, int]  # neurons of A, neurons of B, samples, draws of a layer


class JobResources:
    """Memory (MB), time (minutes) and GPUs of the jobs of a plan.

    Methods named ``*_mb`` return memory, methods named ``*_work`` floating-point operations.

    Attributes:
        gpu: GPUs of each job that can use one; Slurm's plugin passes it on as ``--gpus``.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.config = plan, plan.config
        self.gpu = int(self.config["device"] != "cpu")
        self._layers = {
            model: {layer.name: layer for layer in layers}
            for model, layers in plan.layers_of_model.items()
        }

    def minutes(self, least: int, work: Work = lambda _: 0) -> Callable[[Wildcards, int], int]:
        """Return a function of a job's minutes: ``least``, plus its operations in steps of 10."""

        def runtime(wildcards: Wildcards, attempt: int) -> int:
            computing = work(wildcards) / (self.config["threads"] * GIGAFLOPS * 1e9) / 60
            return attempt * (least + 10 * -(-int(computing) // 10))

        return runtime

    def train_mb(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """Images; weights, gradients and momentum; activations of a batch and their gradients."""
        model = self.plan.model(wildcards)
        batch = self._activations(model.name) * model.training["batch_size"]
        images = 6 * input.size_mb + _readers_mb(model.data)
        return _rounded(images + _megabytes(6 * batch, 4), attempt)

    def extract_mb(self, wildcards: Wildcards, input: Any, attempt: int) -> int:
        """Images, the activations of a batch, and unfinished shards of every layer and draw."""
        model = self.plan.network(wildcards).model
        batch = 2 * self._activations(model) * self.config["extraction"]["batch_size"]
        # The positions of a heat map have one draw.
        heat_map_positions = self.config["heat_map"]["positions"]
        unfinished = sum(
            draws * min(SHARD_MB, _megabytes(samples * layer.neurons, 4))
            + min(SHARD_MB, _megabytes(heat_map_positions * layer.neurons, 4))
            for layer in self._layers[model].values()
            for samples, draws in [self._samples_and_draws(layer)]
        )
        images = 2 * input.size_mb + _readers_mb(self.config["data"])
        return _rounded(images + _megabytes(batch, 4) + 2 * unfinished, attempt)

    def top_images_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """Activations of one draw of the largest layer, and their order."""
        layers = self._layers_of(wildcards.network).values()
        largest = max(6 * self._samples_and_draws(each)[0] * each.neurons for each in layers)
        return _rounded(_megabytes(largest, 4), attempt)

    def match_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """Matrices of the widest layer; each draw is saved before the next one is read."""
        return _rounded(_megabytes(HALVES_MATRICES * _widest(self._group(wildcards)) ** 2), attempt)

    def match_work(self, wildcards: Wildcards) -> float:
        """A reduction, half of a matrix product, and peelings in sample and on halves of images.

        Products are at least twice as fast as GIGAFLOPS. Generated layers of 2,048 + 2,048 neurons,
        with 25,000 samples, took 39 s where this predicts 55 s; one draw of 4,096 + 4,096, with
        50,000 samples, 254 s and 11.5 GB instead of 443 s and 17.5 GB. Layers of near copies take
        longer.
        """
        return sum(
            draws * (samples * (a + b) ** 2 / 2 + 5 * (a + b) ** 3)
            for a, b, samples, draws in self._group(wildcards)
        )

    def one_layer_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """Matrices of the widest layer, where a job factors one layer after another."""
        return _rounded(_megabytes(MATRICES * _widest(self._group(wildcards)) ** 2), attempt)

    def certify_work(self, wildcards: Wildcards) -> float:
        """Two factorisations of each layer and draw, and one solve per epsilon."""
        operations = 10 + len(self.config["matching"]["epsilons"])
        return sum(draws * operations * (a + b) ** 3 for a, b, _, draws in self._group(wildcards))

    def measure_work(self, wildcards: Wildcards) -> float:
        """Several decompositions of each layer's moments."""
        return sum(50 * (a + b) ** 3 for a, b, _, _ in self._group(wildcards))

    def minimal_match_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """The moments of the widest layer, and the matrices of states that wait or are searched."""
        widest = _widest(self._group(wildcards))
        return _rounded(_megabytes(MINIMAL_MATRICES * widest**2), attempt)

    def minimal_match_work(self, wildcards: Wildcards) -> float:
        """One search per neuron and order, each of about one factorisation."""
        orders: int = self.config["minimal_matches"]["orders"]
        return orders * sum((a + b) ** 4 / 80 for a, b, _, _ in self._group(wildcards))

    def null_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """As matching one layer and draw, plus both sides' samples and products of permutations."""
        group, wanted = self._group(wildcards), self.config["chance"]["permutations"]
        largest = max(samples * (a + b) + MATRICES * (a + b) ** 2 for a, b, samples, _ in group)
        saved = sum(2 * null_permutations(wanted, n, a, b) * (a + b) for a, b, n, _ in group)
        return _rounded(512 + _megabytes(largest + saved), attempt)

    def null_work(self, wildcards: Wildcards) -> float:
        """Two nulls of each layer."""
        wanted = self.config["chance"]["permutations"]
        return sum(null_work(wanted, n, a, b) for a, b, n, _ in self._group(wildcards))

    def heat_map_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """Moments of all layers, and the matrices of a match of the two widest."""
        a, b = (
            [layer.neurons for layer in self._layers_of(key).values()]
            for key in (wildcards.a, wildcards.b)
        )
        moments = sum(n**2 for n in (*a, *b)) + sum(a) * sum(b)
        widest = max(a) + max(b)
        paths = len(a) * len(b) * widest
        return _rounded(512 + _megabytes(2 * moments + 2 * paths + MATRICES * widest**2), attempt)

    def within_network_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """Matrices of the two widest layers on halves of the images, all samples, and all paths."""
        neurons = [layer.neurons for layer in self._layers_of(wildcards.network).values()]
        widest = 2 * max(neurons)
        samples = sum(neurons) * self.config["heat_map"]["positions"] / 2  # half of float64
        paths = len(neurons) ** 2 / 2 * widest
        numbers = HALVES_MATRICES * widest**2 + samples + paths
        return _rounded(512 + _megabytes(numbers), attempt)

    def consensus_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """Moments of all networks' neurons together, of the widest layer, and their factors."""
        widest = max(sum(neurons) for neurons, _, _ in self._together(wildcards))
        return _rounded(512 + _megabytes(JOINT_MATRICES * widest**2), attempt)

    def consensus_work(self, wildcards: Wildcards) -> float:
        """One product of all networks, and a peeling that changes one network at a time."""
        return sum(
            draws * (2 * samples + 10 * max(neurons)) * sum(neurons) ** 2
            for neurons, samples, draws in self._together(wildcards)
        )

    def _together(self, wildcards: Wildcards) -> list[tuple[list[int], int, int]]:
        """Return the neurons of every network, samples and draws, for each layer of a job."""
        _, networks = self.plan.together[wildcards.networks]
        own = [self._layers_of(key) for key in networks]
        return [
            ([each[name].neurons for each in own], *self._samples_and_draws(own[0][name]))
            for name in self.plan.together_group(wildcards)
        ]

    def _group(self, wildcards: Wildcards) -> list[Sizes]:
        a, b = (self._layers_of(key) for key in (wildcards.a, wildcards.b))
        return [
            (a[name].neurons, b[name].neurons, *self._samples_and_draws(a[name]))
            for name in self.plan.group(wildcards)
        ]

    def _layers_of(self, network: str) -> dict[str, LayerInfo]:
        """Return the layers of a network, given by key, by name."""
        return self._layers[self.plan.paths.networks[network].model]

    def _activations(self, model: str) -> int:
        """Return how many numbers one input makes in a network's layers and scores."""
        layers = self._layers[model].values()
        in_layers = sum(each.neurons * each.positions for each in layers)
        data = self.plan.paths.models[model].data
        # A text has a score for every token that may follow each of its tokens.
        scores = data["tokens"] * source_of(data).classes if SOURCES[data["name"]].text else 0
        return int(in_layers + scores)

    @cached_property
    def _test_images(self) -> int:
        return count_test_inputs(self.config["data"])

    def _samples_and_draws(self, layer: LayerInfo) -> tuple[int, int]:
        """Return the samples of one draw, at most, and the number of draws."""
        positions, draws = (self.config["extraction"][key] for key in ("positions", "draws"))
        if uses_all_samples(layer, self._test_images, positions):
            return self._test_images * layer.positions, 1
        return positions, draws


def _widest(group: Sequence[Sizes]) -> int:
    return max(a + b for a, b, _, _ in group)


def _rounded(megabytes: float, attempt: int) -> int:
    """Add the process itself, and round up to a multiple of 500 MB."""
    return attempt * (PROCESS_MB + 500 * -(-int(megabytes) // 500))


def _megabytes(numbers: float, bytes_each: int = 8) -> float:
    return numbers * bytes_each / 1e6


def _readers_mb(data: Mapping[str, Any]) -> float:
    """Return the memory of the processes that read image files, if images are files."""
    workers: int = data["workers"] if SOURCES[data["name"]].files else 0
    return PROCESS_MB / 2 * workers
