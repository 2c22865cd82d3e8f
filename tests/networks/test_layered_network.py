"""Layers of today's architectures and of modules that no tool can trace, against plain hooks."""

import random
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from networks import real_models
from networks.real_models import Made
from torch import nn
from torch.nn import functional

from subspace_match.networks.inputs import Inputs, call
from subspace_match.networks.layered_network import LayeredNetwork

# Names of the layers by ``nodes``; {2} stands for two numbered ones.
MODELS: dict[Callable[[], Made], dict[str, str]] = {
    real_models.vit_b_16: {"auto": "mlp{2}", "block": "block{2}"},
    real_models.swin_t: {"auto": "conv{4}", "block": "block{4}"},
    real_models.convnext_tiny: {"auto": "conv{3}", "block": "block{3}"},
    real_models.r3d_18: {"auto": "conv{17}", "block": "block{8}"},
    real_models.swin3d_t: {"auto": "conv{4}", "block": "block{4}"},
    real_models.mobilenet_v3_small: {"auto": "conv{14}", "activation": "conv{32} fc{1}"},
    real_models.efficientnet_b0: {"auto": "conv{49}", "block": "block{16}"},
    real_models.vit_tiny_patch16_224: {"auto": "mlp{2}", "block": "block{2}"},
    real_models.mixer_s32_224: {"auto": "mlp{4}", "block": "block{2}"},
    real_models.gpt2: {"auto": "mlp{2}", "block": "block{2}"},
    real_models.bert: {"auto": "mlp{2} fc{1}", "block": "block{2}"},
    real_models.vit: {"auto": "mlp{2}", "block": "block{2}"},
    real_models.llama: {"auto": "mlp{2}", "block": "block{2}"},
}
HOOKED = {"gpt2", "bert", "vit", "llama", "swin3d_t"}


def recorded(layered: LayeredNetwork, inputs: Inputs) -> list[tuple[str, torch.Tensor]]:
    """Return nodes and values, in the order in which they come, with axes as computed."""
    found: list[tuple[str, torch.Tensor]] = []
    layered.run(
        inputs,
        lambda layer, values: found.append((layer.node, values.movedim(-1, layer.axis).clone())),
    )
    return found


def by_plain_hooks(network: nn.Module, inputs: Inputs) -> dict[str, torch.Tensor]:
    """Return the output of every use of every module, by a loop that shares no code with ours."""
    values: dict[str, list[torch.Tensor]] = defaultdict(list)

    def hook(name: str) -> Callable[..., None]:
        def keep(_: Any, __: Any, output: Any) -> None:
            output = output[0] if isinstance(output, tuple) else output
            if isinstance(output, torch.Tensor):
                values[name].append(output.clone())

        return keep

    handles = [module.register_forward_hook(hook(name)) for name, module in network.named_modules()]
    with torch.no_grad():
        call(network.eval(), inputs)
    for handle in handles:
        handle.remove()
    return {
        f"{name}_{use}" if use else name: value
        for name, uses in values.items()
        for use, value in enumerate(uses)
    }


@pytest.mark.parametrize(
    ("make", "nodes"),
    [
        pytest.param(make, nodes, id=f"{make.__name__}-{nodes}")
        for make, expected in MODELS.items()
        for nodes in expected
    ],
)
def test_layers_are_recorded_once_in_order_as_plain_hooks_do(
    make: Callable[[], Made], nodes: str
) -> None:
    torch.manual_seed(0)
    network, inputs = make()
    layered = LayeredNetwork(network, inputs, nodes)
    expected = [
        f"{prefix}{number}"
        for prefix, count in re.findall(r"([a-z]+)\{(\d+)\}", MODELS[make][nodes])
        for number in range(1, int(count) + 1)
    ]
    assert sorted(layer.name for layer in layered.layers) == sorted(expected)
    assert ("hooks" in layered.notes[0]) == (make.__name__ in HOOKED)
    found = recorded(layered, inputs)
    assert [node for node, _ in found] == [layer.node for layer in layered.layers]
    plain = by_plain_hooks(network, inputs)
    order = [name for name in plain if name in dict(found)]
    assert [node for node, _ in found] == order
    for (node, values), layer in zip(found, layered.layers, strict=True):
        assert torch.equal(values, plain[node])
        assert values.shape[layer.axis] == layer.neurons
        assert values.numel() == 3 * layer.positions * layer.neurons


def test_auto_says_what_it_leaves_out() -> None:
    network, inputs = real_models.mobilenet_v3_small()
    layered = LayeredNetwork(network, inputs)
    assert len(layered.layers) == 14
    assert len(layered.left_out) == 19
    assert layered.notes[1].startswith("auto: 14 nodes of kind relu; left out: features.0.2, ")
    swishes = {name for name, m in network.named_modules() if isinstance(m, nn.Hardswish)}
    assert set(layered.left_out) == swishes


class Own(nn.Module):
    """Two layers of weights and GELUs in some arrangement."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 4), nn.Linear(4, 4)
        self.act = nn.GELU()


class Dictionary(Own):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"scores": self.act(self.second(self.act(self.first(x))))}


class Pair(Own):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.act(self.first(x))
        return hidden, self.act(self.second(hidden))


class Branches(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.act(self.first(x))
        return hidden if hidden.sum() > 1e6 else self.act(self.second(hidden))


class Functional(Own):
    """No module for the nonlinearity, and a branch that no tracer follows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.gelu(self.first(x))
        return functional.gelu(self.second(hidden)) if len(x) else hidden


def expected_of_own(network: Own, x: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        one = functional.gelu(network.first(x))
        return [one, functional.gelu(network.second(one))]


@pytest.mark.parametrize("wrap", [lambda n: n, torch.compile, nn.DataParallel])
@pytest.mark.parametrize("kind", [Dictionary, Pair, Branches, Functional])
def test_own_modules(kind: type[Own], wrap: Callable[[nn.Module], nn.Module]) -> None:
    network, x = kind(), torch.randn(5, 6)
    layered = LayeredNetwork(wrap(network), x)
    node = "gelu" if kind is Functional else "act"
    found = recorded(layered, x)
    assert [name for name, _ in found] == [node, f"{node}_1"]
    assert [layer.name for layer in layered.layers] == ["fc1", "fc2"]
    for (_, values), expected in zip(found, expected_of_own(network, x), strict=True):
        assert torch.equal(values, expected)


def test_a_module_that_is_compiled_in_place_is_recorded() -> None:
    """Compiled code calls no hooks that are added later."""
    network, x = Branches(), torch.randn(5, 6)
    expected = expected_of_own(network, x)
    network.compile(backend="eager")
    with torch.no_grad():
        network(x)
    found = recorded(LayeredNetwork(network, x), x)
    assert all(torch.equal(one, two) for (_, one), two in zip(found, expected, strict=True))


class Series(nn.Module):
    """A convolution along time, and an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(3, 5, 3, padding=1)
        self.lstm = nn.LSTM(5, 7, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = functional.gelu(self.conv(x))
        sequence, _ = self.lstm(maps.transpose(1, 2))
        return sequence[:, -1]


def test_series_have_positions_and_an_lstm_its_output_sequence() -> None:
    network, x = Series(), torch.randn(4, 3, 9)
    layered = LayeredNetwork(network, x, ["conv", "gelu", "lstm"])
    kinds = [
        (own.name, own.kind, own.neurons, own.height, own.width, own.axis) for own in layered.layers
    ]
    assert kinds == [
        ("conv1", "conv", 5, 1, 9, 1),
        ("conv2", "conv", 5, 1, 9, 1),
        ("tokens1", "tokens", 7, 1, 9, 2),
    ]
    with torch.no_grad():
        maps = functional.gelu(network.conv(x))
        sequence = network.lstm(maps.transpose(1, 2))[0]
    values = [value for _, value in recorded(layered, x)]
    assert torch.equal(values[1], maps)
    assert torch.equal(values[2], sequence)
    shapes: list[tuple[int, ...]] = []
    layered.run(x, lambda _, own: shapes.append(tuple(own.shape)))
    assert shapes == [(4, 9, 5), (4, 9, 5), (4, 9, 7)]


class InPlace(nn.Module):
    """Change maps in place after the module that computes them; only hooks reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        maps = self.relu(self.first(x))
        maps += 100.0 if x.abs().sum() > 0 else 0.0
        return {"maps": self.relu(self.last(maps))}


def test_later_changes_in_place_do_not_reach_a_value() -> None:
    torch.manual_seed(0)
    network, x = InPlace(), torch.randn(2, 1, 8, 8)
    values = dict(recorded(LayeredNetwork(network, x, ["first", "relu*", "last"]), x))
    with torch.no_grad():
        first = network.first(x)
        assert torch.equal(values["first"], first)
        assert torch.equal(values["relu"], first.relu())
        last = network.last(first.relu() + 100)
        assert torch.equal(values["last"], last)
    assert (values["last"] < 0).any()


def state_of(network: nn.Module) -> list[Any]:
    return [
        (module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
        for module in network.modules()
    ]


@pytest.mark.parametrize("kind", [Pair, Branches])
def test_the_network_stays_as_it_is_even_after_an_error(kind: type[Own]) -> None:
    network, x = kind(), torch.randn(5, 6)
    network.train()
    network.second.eval()
    network.first(x).sum().backward()
    gradient = network.first.weight.grad
    before = state_of(network)

    def fail(*_: Any) -> None:
        raise KeyError("stop")

    layered = LayeredNetwork(network, x)
    assert state_of(network) == before
    with pytest.raises(KeyError):
        layered.run(x, fail)
    with pytest.raises(ValueError, match=r"accepts a tensor \(2, 7\), found .* fails with Runtime"):
        LayeredNetwork(network, torch.randn(5, 7))
    assert state_of(network) == before
    assert network.first.weight.grad is gradient
    assert network.first.weight.requires_grad
    assert torch.is_grad_enabled()


class DependsOnBatch(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.act(self.first(x))
        return self.act(self.second(hidden)) if len(x) < 4 or x[0, 0] > 0 else hidden


def test_a_batch_without_a_layer_is_refused() -> None:
    x = torch.ones(6, 6)
    layered = LayeredNetwork(DependsOnBatch(), x)
    recorded(layered, x)
    with pytest.raises(
        ValueError, match=r"expected to compute act_1 for every batch, .* found a b"
    ):
        recorded(layered, -x)


def test_inputs_of_another_size_are_refused() -> None:
    network, x = InPlace(), torch.randn(2, 1, 8, 8)
    layered = LayeredNetwork(network, x, "relu")
    with pytest.raises(ValueError, match=r"conv1 \(relu\): expected 3 neurons at 6 x 6 .* found"):
        recorded(layered, torch.randn(2, 1, 9, 8))


class Optional(Own):
    """Use an argument only where it is given, and tell tensors from what a tracer passes."""

    def forward(self, x: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        hidden = self.act(self.first(x))
        return self.act(self.second(hidden if scale is None else hidden * scale))


class Disguised(Own):
    def forward(self, x: Any) -> torch.Tensor:
        hidden = self.act(self.first(x))
        return self.act(self.second(hidden)) if type(x) is torch.Tensor else hidden


def test_arguments_that_are_not_given_keep_their_default() -> None:
    network, x = Optional(), torch.randn(5, 6)
    layered = LayeredNetwork(network, x)
    assert layered.notes[0] == "layers are nodes of the network's graph, traced by torch.fx"
    found = [value for _, value in recorded(layered, x)]
    assert torch.equal(found[1], expected_of_own(network, x)[1])
    scaled = {"scale": torch.full((5, 1), 2.0), "x": x}
    given = [value for _, value in recorded(LayeredNetwork(network, scaled), scaled)]
    assert torch.equal(given[1], functional.gelu(network.second(2 * found[0])))


def test_a_graph_that_computes_something_else_is_not_used() -> None:
    layered = LayeredNetwork(Disguised(), torch.randn(5, 6))
    assert "because the graph that torch.fx traces computes other values" in layered.notes[0]
    assert [layer.node for layer in layered.layers] == ["act", "act_1"]


class TellsNothing(Own):
    """Return the same for all inputs, so that the output does not tell what was computed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.second(self.act(self.first(x)))).argmax(1) < 9


class DisguisedTellsNothing(TellsNothing):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * x if isinstance(x, torch.Tensor) else x)


class UsesOneLess(TellsNothing):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.act(self.first(x))
        hidden = self.act(hidden) if isinstance(x, torch.Tensor) else hidden
        return hidden.argmax(1) < 9


def with_own_hook(network: nn.Module) -> nn.Module:
    network.register_forward_pre_hook(lambda _, given: (given[0] * given[0],))
    return network


def with_replaced_forward(network: nn.Module) -> nn.Module:
    original = network.forward
    network.forward = lambda x: original(x * x)
    return network


@pytest.mark.parametrize(
    "make",
    [
        DisguisedTellsNothing,
        UsesOneLess,
        lambda: with_own_hook(TellsNothing()),
        lambda: with_replaced_forward(TellsNothing()),
    ],
)
def test_a_graph_is_judged_by_all_its_modules(make: Callable[[], nn.Module]) -> None:
    network, x = make(), torch.randn(5, 6)
    layered = LayeredNetwork(network, x)
    assert "because the graph that torch.fx traces computes other values" in layered.notes[0]
    found, plain = dict(recorded(layered, x)), by_plain_hooks(network, x)
    assert len(found) == 2
    assert all(torch.equal(value, plain[node]) for node, value in found.items())


def test_names_that_end_in_numbers_do_not_confuse_the_comparison_with_a_graph() -> None:
    class Numbered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act_1, self.act, self.fc_2 = nn.ReLU(), nn.ReLU(), nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.act_1(self.fc_2(self.act_1(self.fc_2(x)))))

    layered = LayeredNetwork(Numbered(), torch.randn(5, 6))
    assert layered.notes[0] == "layers are nodes of the network's graph, traced by torch.fx"
    assert len(layered.layers) == 3


class Remembers(nn.Module):
    """Add the mean of what it computed last."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = x + self.last
        self.last = values.mean(0)
        return values


_GENERATOR = np.random.default_rng(0)  # of a network's own


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + torch.randn(4),
        lambda x: x * random.random(),
        lambda x: x * float(np.random.rand()),
        lambda x: x * float(_GENERATOR.random()),
        lambda x: x if random.random() < 0.8 else x * 0.0,
        Remembers(),
    ],
)
def test_a_graph_does_not_hide_what_was_drawn_or_remembered(
    change: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    """It depends on no input, so torch.fx makes a constant of it."""

    class Changed(Own):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(change(self.first(x)))

    random.seed(0)
    torch.manual_seed(0)
    x = torch.randn(4, 6)
    with pytest.raises(ValueError, match=r"in a second run .*, first at act"):
        LayeredNetwork(Changed(), x).check_repeatable(x)


def test_numbers_that_change_nothing_can_be_drawn() -> None:
    class Drawing(Own):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skipped = self.training and float(torch.rand(())) < 0.5
            return self.act(self.first(x) * (0.0 if random.random() < 0 or skipped else 1.0))

    x = torch.randn(4, 6)
    layered = LayeredNetwork(Drawing(), x)
    layered.check_repeatable(x)
    assert "repeats the random numbers of one run" in layered.notes[0]
    assert [layer.node for layer in layered.layers] == ["act"]


class Keeping(Own):
    """Keep what it computes, as code does that looks at activations afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Any = None
        self.by_name: dict[str, Any] = {}
        self.of_calls: list[Any] = []
        self.ordered: dict[str, Any] = OrderedDict()
        self.lists: dict[str, list[Any]] = defaultdict(list)
        self.nested: dict[str, Any] = {"inside": {"more": [[]]}}
        self.latest: deque[Any] = deque(maxlen=2)
        self.unordered: set[Any] = set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = self.by_name["first"] = self.first(x) + torch.ones(4)
        self.of_calls.append(self.seen)
        self.ordered["first"] = self.seen
        self.lists["first"].append(self.seen)
        self.nested["inside"]["more"][0].append(self.seen)
        self.latest.append(self.seen)
        self.unordered.add(self.seen)
        return self.act(self.seen)

    def kept(self) -> list[Any]:
        listed = [*self.of_calls, *self.lists["first"], *self.nested["inside"]["more"][0]]
        named = [*self.by_name.values(), *self.ordered.values()]
        return [self.seen, *listed, *named, *self.latest, *self.unordered]


def test_the_network_keeps_no_placeholder_of_the_tracer() -> None:
    network, x = Keeping(), torch.randn(5, 6)
    network.first.register_forward_hook(lambda module, _, value: setattr(module, "seen", value))
    attributes = {*vars(network)}
    layered = LayeredNetwork(network, x)
    assert layered.notes[0] == "layers are nodes of the network's graph, traced by torch.fx"
    kept = [network.first.seen, *network.kept()]
    assert {type(value) for value in kept} == {torch.Tensor}
    assert {*vars(network)} == attributes
    assert (type(network.ordered), type(network.lists)) == (OrderedDict, defaultdict)


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_the_users_own_hooks_see_no_placeholder_of_the_tracer(register: str) -> None:
    class Outer(Own):
        def __init__(self) -> None:
            super().__init__()
            self.inside = Pair()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.second(self.inside(x)[0]))

    network, x, seen = Outer(), torch.randn(5, 6), []
    getattr(network.inside, register)(lambda *given: seen.append(type(given[1][0])))
    layered = LayeredNetwork(network, x)
    assert layered.notes[0].endswith("(TypeError: inside has forward hooks of its own)")
    seen.clear()
    values = dict(recorded(layered, x))
    assert seen == [torch.Tensor]
    plain = by_plain_hooks(network, x)
    assert len(values) == 3
    assert all(torch.equal(value, plain[node]) for node, value in values.items())


class Moved(nn.Module):
    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.maps, self.act, self.axes = nn.Conv3d(2, 4, 2), nn.ReLU(), axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.act(self.maps(x).permute(*self.axes))
        return maps


@pytest.mark.parametrize("axes", [(0, 1, 2, 3, 4), (0, 2, 3, 4, 1)])
def test_videos_and_volumes_have_frames(axes: tuple[int, ...]) -> None:
    network, x = Moved(*axes), torch.randn(3, 2, 6, 4, 3)
    layered = LayeredNetwork(network, x)
    (layer,) = layered.layers
    assert (layer.name, layer.neurons, layer.size) == ("conv1", 4, (5, 3, 2))
    assert (layer.positions, layer.axis) == (30, axes.index(1))
    assert layer.shape_in_words == "images x 4 neurons x 5 x 3 x 2"
    seen = []
    layered.run(x, lambda _, values: seen.append(values.clone()))
    expected = network.maps(x).relu().permute(0, 2, 3, 4, 1)
    assert torch.equal(seen[0], expected)
    with pytest.raises(ValueError, match=r"4 neurons at 5 x 3 x 2 positions, .*\(3, .*6.*\) for 3"):
        layered.run(torch.randn(3, 2, 7, 4, 3), lambda *_: None)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [((0, 2, 1, 3, 4), r"\(2, 5, 4, 3, 2\)"), ((0, 2, 3, 1, 4), r"\(2, 5, 3, 4, 2\)")],
)
def test_neurons_between_the_axes_of_a_map_are_refused(axes: tuple[int, ...], shape: str) -> None:
    with pytest.raises(ValueError, match=rf"neurons before or after all of these, found {shape}"):
        LayeredNetwork(Moved(*axes), torch.randn(3, 2, 6, 4, 3))
    images = nn.Sequential(Moved(0, 1, 2, 3, 4), nn.Flatten(2, 3), nn.ReLU())
    (layer,) = LayeredNetwork(images, torch.randn(3, 2, 6, 4, 3), ["2"]).layers
    assert layer.size == (1, 15, 2)


def test_maps_with_four_axes_are_refused() -> None:
    class Four(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x)

    with pytest.raises(ValueError, match=r"perhaps frames, .* found \(2, 3, 2, 2, 2, 2\) for 2"):
        LayeredNetwork(Four(), torch.randn(4, 3, 2, 2, 2, 2), neuron_axis=1)


def test_every_batch_gives_the_same_arguments() -> None:
    x, scale = torch.randn(5, 6), torch.full((5, 1), 2.0)
    layered = LayeredNetwork(Optional(), x)
    with pytest.raises(
        ValueError,
        match="expected inputs for the arguments x, as in the first batch, found x, scale; give",
    ):
        layered.run({"x": x, "scale": scale}, lambda *_: None)
    layered = LayeredNetwork(Optional(), (x, scale))
    with pytest.raises(ValueError, match="x, scale, as in the first batch, found x; give"):
        layered.run(x, lambda *_: None)
    assert recorded(layered, {"scale": scale, "x": x})


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_values_that_are_not_real_are_refused() -> None:
    class Waves(Own):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            waves = torch.tanh(torch.fft.fft(self.first(x)))
            steps = torch.quantize_per_tensor(waves.real, 0.01, 0, torch.qint8)
            return self.act(torch.relu(steps).dequantize() + waves.abs())

    x = torch.randn(5, 6)
    for node, dtype in (("tanh", "complex64"), ("relu", "qint8")):
        with pytest.raises(ValueError, match=rf"fc1 \({node}\): expected real numbers.*{dtype};"):
            LayeredNetwork(Waves(), x, [node]).run(x, lambda *_: None)
    assert recorded(LayeredNetwork(Waves(), x, ["act"]), x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: functional.dropout(x, 0.5), "in a second run .*, first at act"),
        (lambda x: x - x.mean(0), "in a smaller batch .*, first at act"),
    ],
)
def test_chance_and_statistics_of_the_batch_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], message: str
) -> None:
    class Changed(Own):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"scores": self.act(change(self.first(x))) if x.sum() < 1e6 else x}

    x = torch.randn(4, 6)
    layered = LayeredNetwork(torch.compile(Changed()), {"x": x}, ["first"])
    assert "hooks" in layered.notes[0]
    with pytest.raises(ValueError, match=message):
        layered.check_repeatable({"x": x})


def test_one_token_of_each_text_is_never_a_padded_one() -> None:
    network, text = real_models.llama()
    node = "model.layers.1"
    (layer,) = LayeredNetwork(network, text, [node]).layers
    assert (layer.name, layer.kind, layer.width) == ("block1", "tokens", 12)
    all_tokens = dict(recorded(LayeredNetwork(network, text, [node]), text))[node]
    real = [range(12), range(8), range(7, 12)]
    expected = {
        "first": torch.stack([all_tokens[i, places[0]] for i, places in enumerate(real)]),
        "last": torch.stack([all_tokens[i, places[-1]] for i, places in enumerate(real)]),
        "mean": torch.stack([all_tokens[i, list(p)].mean(0) for i, p in enumerate(real)]),
    }
    for which, values in expected.items():
        layered = LayeredNetwork(network, text, [node], tokens=which)
        (layer,) = layered.layers
        assert (layer.name, layer.kind, layer.positions) == ("block1", "fc", 1)
        found: list[torch.Tensor] = []
        layered.run(text, lambda _, own, found=found: found.append(own.clone()))
        torch.testing.assert_close(found[0], values)


class Marked(nn.Module):
    """Give each token its number, and a value of its own to the tokens with number 0."""

    def __init__(self, value: float, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.value, self.up = value, nn.Linear(1, 3, dtype=dtype)
        nn.init.ones_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        up = self.up(input_ids[..., None].to(self.up.weight.dtype))
        values = functional.gelu(up + 8).masked_fill(input_ids[..., None] == 0, self.value)
        return values, attention_mask


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_a_mean_of_tokens_hides_no_value_of_a_real_one(value: float) -> None:
    text = {"input_ids": torch.tensor([[1, 2, 0], [3, 4, 0]]), "attention_mask": torch.ones(2, 3)}
    layered = LayeredNetwork(Marked(value), text, ["masked_fill"], tokens="mean", neuron_axis=-1)
    found: list[torch.Tensor] = []
    layered.run(text, lambda _, own: found.append(own.clone()))
    expected = torch.tensor([[(9 + 10 + value) / 3] * 3, [(11 + 12 + value) / 3] * 3])
    torch.testing.assert_close(found[0], expected, equal_nan=True)
    text["attention_mask"][:, 2] = 0
    layered.run(text, lambda _, own: found.append(own.clone()))
    torch.testing.assert_close(found[1], torch.tensor([[9.5] * 3, [11.5] * 3]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_mean_of_tokens_of_16_bits_is_not_rounded_to_16_bits(dtype: torch.dtype) -> None:
    ids = torch.randint(1, 50, (4, 700), generator=torch.Generator().manual_seed(0))
    text = {"input_ids": ids, "attention_mask": (torch.arange(700) < 600).expand(4, 700)}
    layered = LayeredNetwork(Marked(0.0, dtype), text, ["masked_fill"], tokens="mean")
    found: list[torch.Tensor] = []
    layered.run(text, lambda _, own: found.append(own.clone()))
    values = functional.gelu((ids + 8).to(dtype))[:, :600, None].expand(4, 600, 3)
    torch.testing.assert_close(found[0], values.float().mean(1))


def test_texts_of_another_length_are_accepted() -> None:
    network, text = real_models.bert()
    layered = LayeredNetwork(network, text, "block")
    shorter = {name: values[:, :8] for name, values in text.items()}
    assert {value.shape for _, value in recorded(layered, shorter)} == {(3, 8, 16)}


class Unknown(nn.Module):
    """Compute tokens by a product that says nothing about neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 5, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.gelu(torch.einsum("nt,ktd->ntd", x, self.table))


def test_an_axis_can_be_given_where_it_is_not_certain() -> None:
    x = torch.randn(3, 5)
    with pytest.raises(ValueError, match=r"found \(2, 5, 7\) for 2 inputs at gelu; .*neuron_axis"):
        LayeredNetwork(Unknown(), x)
    for axis, (kind, neurons) in {1: ("conv", 5), 2: ("tokens", 7), -1: ("tokens", 7)}.items():
        layered = LayeredNetwork(Unknown(), x, neuron_axis=axis)
        (layer,) = layered.layers
        assert (layer.kind, layer.neurons, layer.axis) == (kind, neurons, axis % 3)
        assert layered.notes[-1] == f"axis {axis} has the neurons, as given, of gelu"


def test_torchs_own_transformer_is_looked_into() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 12, activation="gelu", batch_first=True)
    network = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    x = torch.randn(3, 5, 8)
    assert [a.name for a in LayeredNetwork(network, x).layers] == ["mlp1", "mlp2"]
    blocks = LayeredNetwork(network, x, "block")
    assert [a.node for a in blocks.layers] == ["layers.0", "layers.1"]
    assert torch.equal(dict(recorded(blocks, x))["layers.1"], network.eval()(x))


class TokensFirst(nn.Module):
    """Torch's own layers, which take (tokens, inputs, neurons) unless told otherwise."""

    def __init__(self, inputs_first: bool, returns: type) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(5, 8, batch_first=inputs_first)
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=inputs_first)
        self.inputs_first, self.returns = inputs_first, returns

    def forward(self, x: torch.Tensor, padding_mask: torch.Tensor) -> Any:
        x = x if self.inputs_first else x.transpose(0, 1)
        x = self.layer(self.lstm(x)[0], src_key_padding_mask=padding_mask)
        return self.returns([x if self.inputs_first else x.transpose(0, 1)])


@pytest.mark.parametrize("returns", [torch.cat, list])  # a graph, or hooks
@pytest.mark.parametrize("tokens", ["all", "last", "mean"])
@pytest.mark.parametrize("count", [4, 7])  # other inputs than tokens, and as many
def test_layers_whose_tokens_come_first_are_those_whose_inputs_do(
    returns: Any, tokens: str, count: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 7, 5, generator=generator)
    inputs = {"x": x, "padding_mask": torch.arange(7) >= torch.tensor([[7], [4], [6], [5]])}
    inputs["padding_mask"] = inputs["padding_mask"].repeat(2, 1)[:count]
    found = {}
    for first in (True, False):
        layered = LayeredNetwork(
            TokensFirst(first, returns), inputs, ["lstm", "layer", "*relu"], tokens=tokens
        )
        layered.check_repeatable(inputs)
        own = found[first] = {}
        layered.run(inputs, lambda layer, v, own=own: own.update({layer: v.clone()}))
    ones, others = found[True], found[False]
    named = [[(layer.name, layer.kind, layer.positions) for layer in own] for own in (ones, others)]
    assert named[0] == named[1]
    assert len(named[0]) == 3
    for one, other in zip(ones.values(), others.values(), strict=True):
        assert one.shape[0] == count
        torch.testing.assert_close(one, other)


class Routed(nn.Module):
    """Some tokens of all inputs go to an expert, as in a mixture of experts."""

    def __init__(self) -> None:
        super().__init__()
        self.expert, self.act, self.conv = nn.Linear(6, 6), nn.GELU(), nn.Conv1d(6, 6, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        flat = x.flatten(0, 1)
        chosen = flat[:, 0] < 1e6
        flat = flat.index_put((chosen.nonzero()[:, 0],), self.act(self.expert(flat[chosen])))
        return {"x": flat.reshape(x.shape)}


@pytest.mark.parametrize("axis", [None, 1])
def test_layers_without_an_axis_of_inputs_are_refused(axis: int | None) -> None:
    x = torch.randn(4, 3, 6)
    message = r"values of each input, found \(6, 6\) for 2 inputs at act; select other nodes in"
    with pytest.raises(ValueError, match=rf"{message} extraction\.nodes$"):
        LayeredNetwork(Routed(), x, neuron_axis=axis)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = Routed()

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            output: dict[str, torch.Tensor] = self.part(x)
            return output

    with pytest.raises(ValueError, match=r"found \(6, 6\).*extraction\.nodes, such as block$"):
        LayeredNetwork(Outer(), x, neuron_axis=axis)
    (layer,) = LayeredNetwork(Outer(), x, "block", neuron_axis=2).layers
    assert (layer.kind, layer.neurons) == ("tokens", 6)


class Named(NamedTuple):
    x: torch.Tensor
    label: torch.Tensor


@pytest.mark.parametrize(
    "batch",
    [
        lambda x: ({"x": x, "label": torch.zeros(len(x))},),
        lambda x: ([x, torch.zeros(len(x))],),
        lambda x: ((x, [torch.zeros(len(x))]),),
        lambda x: {"batch": Named(x, torch.zeros(len(x)))},
    ],
)
def test_a_whole_batch_can_be_one_argument(batch: Callable[[torch.Tensor], Any]) -> None:
    """As in modules of PyTorch Lightning. The network may change it; it belongs to the caller."""

    class OfBatch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 5)

        def forward(self, batch: Any) -> torch.Tensor:
            x = batch["x"] if isinstance(batch, dict) else batch[0]
            x = batch.x if isinstance(batch, Named) else x
            return torch.relu(self.first(x.mul_(2)))

    x = torch.randn(7, 6)
    network, inputs = OfBatch(), batch(x.clone())
    layered = LayeredNetwork(network, inputs)
    layered.check_repeatable(inputs)
    ((_, found),) = recorded(layered, inputs)
    assert torch.equal(found, torch.relu(network.first(2 * x)))


def test_every_node_is_listed_with_what_selects_it() -> None:
    network, inputs = real_models.vit_b_16()
    nodes = {node.name: node for node in LayeredNetwork(network, inputs, "block").nodes}
    assert nodes["conv_proj"].kinds == ("convolution",)
    assert (nodes["conv_proj"].shape, nodes["conv_proj"].axis) == ((2, 16, 2, 2), 1)
    mlp = nodes["encoder.layers.encoder_layer_0.mlp.1"]
    assert (mlp.kinds, mlp.shape, mlp.axis) == (("activation",), (2, 5, 24), 2)
    assert nodes["encoder.layers.encoder_layer_1"].kinds == ("block",)
    assert nodes["heads.head"].shape == (2, 1000)


def test_patterns_fit_blocks_only_if_they_fit_nothing_inside() -> None:
    network, inputs = real_models.gpt2()
    inside = LayeredNetwork(network, inputs, ["transformer.h.0*"]).layers
    assert "transformer.h.0" not in {layer.node for layer in inside}
    (block,) = LayeredNetwork(network, inputs, ["transformer.h.0"]).layers
    assert (block.name, block.node) == ("block1", "transformer.h.0")
