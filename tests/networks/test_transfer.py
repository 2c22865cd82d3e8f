import pytest
import torch

from subspace_match.networks.architectures import build, initialise
from subspace_match.networks.transfer import transfer_weights

ABOUT = {"name": "vgg11_bn", "width": 0.05, "hidden": [8], "channels": 1, "classes": 4}


def start() -> torch.nn.Module:
    network = build(**ABOUT)
    initialise(network, 7)
    return network


def test_all_weights_of_the_same_architecture_are_copied() -> None:
    network, new = transfer_weights(start(), ABOUT, seed=0)
    assert new == []
    for name, tensor in start().state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)


def test_the_seed_decides_the_output_layer_for_other_classes() -> None:
    network, new = transfer_weights(start(), ABOUT | {"classes": 3}, seed=5)
    assert new == ["output.weight", "output.bias"]
    fresh = build(**ABOUT | {"classes": 3})
    initialise(fresh, 5)
    assert torch.equal(network.output.weight, fresh.output.weight)
    assert torch.equal(network.conv1[0].weight, start().conv1[0].weight)


def test_a_network_without_a_common_tensor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"models\.start: expected a network with at least"):
        transfer_weights(torch.nn.Linear(2, 2), ABOUT, seed=0)
