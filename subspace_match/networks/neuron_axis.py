"""Find the axis of a layer's values that holds neurons, or report that it is uncertain.

Maps are (inputs, neurons, height, width) in torch, but a network may store them as (inputs,
height, width, neurons), and tokens are (inputs, tokens, neurons). A shape alone does not tell these
apart. Two things do. The operation: a convolution or a batch norm has its neurons along axis 1, a
linear layer or a layer norm along the last one, and the axis can be followed through operations
that keep neurons apart (``AxisTracker``). And the size of the inputs: a taller image lengthens only
the height axis, a longer text only the axis of tokens, and what remains are neurons
(``axis_by_sizes``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from .inputs import tensors_in
from .operations import NONLINEARITY, function_name

Shape = tuple[int, ...]

_MAKES_AXIS_1 = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("batch_norm", "group_norm", "instance_norm"),
}
_MAKES_LAST_AXIS = {
    *("linear", "bilinear", "addmm", "embedding", "multi_head_attention_forward"),
    *("lstm", "gru", "rnn_tanh", "rnn_relu"),
}
_PRODUCTS = {"matmul", "mm"}  # with a matrix of weights
_NORMS = {"layer_norm", "rms_norm"}
# Each output value depends on inputs of the same neuron and position, or of nearby positions.
# Names of operators appear without underscores.
_ELEMENTWISE = {
    *(name.strip("_") for name in NONLINEARITY.functions),
    *("sigmoid", "hardsigmoid", "exp", "log", "sqrt", "rsqrt", "abs", "neg", "pow", "square"),
    *("erf", "sin", "cos", "data"),
    *("add", "iadd", "radd", "sub", "isub", "rsub", "mul", "imul", "rmul", "div", "truediv"),
    *("itruediv", "rdiv", "rtruediv", "true_divide", "addcmul", "addcdiv", "lerp"),
    *("maximum", "minimum", "clamp", "clip", "where", "masked_fill", "nan_to_num"),
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"),
    *("contiguous", "clone", "detach", "to", "type", "type_as", "float", "double", "half"),
    *("bfloat16", "expand", "expand_as", "broadcast_to", "roll", "cumsum"),
}
# They change positions, which come after the neurons of axis 1.
_POOLS = {
    *(f"{kind}_pool{axes}d" for kind in ("max", "avg", "lp") for axes in (1, 2, 3)),
    *(f"adaptive_{kind}_pool{axes}d" for kind in ("max", "avg") for axes in (1, 2, 3)),
    *("interpolate", "upsample", "pad"),
}
_RESHAPES = {"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"}
_MOVES_OR_REMOVES_AXES = {
    *("permute", "transpose", "movedim", "moveaxis", "swapaxes", "swapdims", "T", "mT"),
    *("mean", "sum", "amax", "amin", "max", "min", "std", "var", "norm", "logsumexp"),
}
_JOINS = {"cat", "concat", "concatenate"}
_PARTS = {"chunk", "split", "tensor_split"}


class AxisTracker(TorchFunctionMode):
    """Follows the axis of neurons through a network while it runs.

    Example:
        >>> with AxisTracker() as tracker:
        ...     maps = torch.conv2d(torch.zeros(2, 1, 5, 5), torch.zeros(4, 1, 3, 3))
        ...     tokens = maps.flatten(2).transpose(1, 2)
        >>> tracker.axis_of(maps), tracker.axis_of(tokens), tracker.axis_of(tokens @ tokens.mT)
        (1, 2, None)
    """

    def __init__(self) -> None:
        super().__init__()
        self._axes: Any = WeakTensorKeyDictionary()

    def axis_of(self, tensor: Tensor) -> int | None:
        """Return the axis of neurons of a tensor that the network computed; None if unknown."""
        axis: int | None = self._axes.get(tensor)
        return axis

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # Before the call, because an operation in place may change the shape of its input.
        tensors = tensors_in([*args, *kwargs.values()])
        known = [(tuple(each.shape), self.axis_of(each)) for each in tensors]
        result = func(*args, **kwargs)
        for number, output in enumerate(tensors_in([result])):
            # The further results of an LSTM or an attention are states and weights.
            axis = None
            if number == 0 or function_name(func) in _PARTS:
                axis = _axis_of_result(func, tuple(output.shape), known, args, kwargs)
            if axis is None:
                self._axes.pop(output, None)
            else:
                self._axes[output] = axis
        return result


def _axis_of_result(
    func: Any,
    shape: Shape,
    known: list[tuple[Shape, int | None]],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> int | None:
    """Return the axis of neurons of an operation's result, whose shape is given.

    ``known`` has the shape and the axis of neurons (None if unknown) of each tensor among the
    arguments.
    """
    # A property such as x.mT is called as its method __get__.
    own = function_name(func)
    name = (func.__self__.__name__ if own == "__get__" else own).strip("_")
    if len(shape) < 2 or not known:
        return None
    if name in _MAKES_AXIS_1:
        return 1
    if name in _MAKES_LAST_AXIS or (name in _PRODUCTS and len(known[-1][0]) == 2):
        return len(shape) - 1
    if name in _NORMS:
        normalised = args[1] if len(args) > 1 else kwargs["normalized_shape"]
        return len(shape) - 1 if len(normalised) == 1 else known[0][1]
    if name in _ELEMENTWISE or name in _JOINS:
        return _common_axis(shape, known, joins=name in _JOINS)
    before, axis = known[0]
    if axis is None:
        return None
    if name in _PARTS or (name in _POOLS and axis == 1 and len(before) == len(shape)):
        return axis
    if name in _RESHAPES:
        return _axis_after_reshape(before, axis, shape)
    if name in _MOVES_OR_REMOVES_AXES:
        return _axis_after_move(func, len(before), axis, args, kwargs)
    if name == "getitem":
        return _axis_after_index(len(before), axis, args[1])
    return None


def _common_axis(shape: Shape, known: list[tuple[Shape, int | None]], *, joins: bool) -> int | None:
    """Return the axis on which all operands with a known axis agree, aligned from the last axis.

    Operands whose axis is unknown, such as weights and masks, are added to or multiplied with the
    same neurons.
    """
    axes = set()
    for own, axis in known:
        if axis is not None and (joins or own[axis] == shape[axis - len(own)]):
            axes.add(axis - len(own) + len(shape))
    return axes.pop() if len(axes) == 1 else None


def _axis_after_reshape(before: Shape, axis: int, shape: Shape) -> int | None:
    """Return the axis if a reshape leaves it whole."""
    if before[axis] == 1:
        return None
    stride = math.prod(before[axis + 1 :])
    for after, length in enumerate(shape):
        if length == before[axis] and math.prod(shape[after + 1 :]) == stride:
            return after
    return None


def _axis_after_move(
    func: Any, ndim: int, axis: int, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> int | None:
    """Return the axis after a function that permutes axes or removes some of them.

    The function is applied to a tensor without values, whose lengths number its axes.
    """
    with torch._C.DisableTorchFunction():
        result = func(torch.empty(*range(2, 2 + ndim), device="meta"), *args[1:], **kwargs)
    lengths = list(next(tensors_in([result])).shape)
    if axis + 2 not in lengths:
        return None
    # Height and width in another order would be sampled at other positions.
    others = [length for length in lengths if length not in (1, axis + 2)]
    ordered = ndim < 4 or others == sorted(others)
    return lengths.index(axis + 2) if ordered else None


def _axis_after_index(ndim: int, axis: int, index: Any) -> int | None:
    """Return the axis after an index of slices, integers, ... and None."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(not isinstance(part, (int, slice, type(None), type(...))) for part in parts):
        return None
    used = sum(isinstance(part, (int, slice)) for part in parts)
    whole = [slice(None)] * (ndim - used)
    if ... in parts:
        place = parts.index(...)
        parts[place : place + 1] = whole
    else:
        parts += whole
    after = before = 0
    for part in parts:
        if part is None:
            after += 1
            continue
        if before == axis:
            return None if isinstance(part, int) else after
        before += 1
        after += isinstance(part, slice)
    return None


def axis_by_sizes(shape: Shape, longer: Sequence[Shape | None]) -> int | None:
    """Return the only axis of a layer's values that does not depend on the size of the inputs.

    Args:
        shape: (inputs, ...).
        longer: shape after each axis of the inputs in turn was doubled (for images: height, width),
            None if the network rejects such inputs.

    Returns:
        None unless each other axis depends on its own axis of the inputs, in the same order, or has
        length 1. A single other axis, of tokens, may depend on all of them.

    Example:
        >>> axis_by_sizes((2, 8, 4, 4), [(3, 8, 8, 4), (3, 8, 4, 8)])
        1
        >>> axis_by_sizes((2, 4, 4, 8), [(3, 8, 4, 8), (3, 4, 8, 8)])
        3
        >>> axis_by_sizes((2, 16, 8), [(3, 32, 8), (3, 32, 8)])
        2
    """
    known = [own for own in longer if own is not None and len(own) == len(shape)]
    if not longer or len(known) < len(longer):
        return None

    def follows(axis: int, number: int | None) -> bool:
        """Return whether an axis changes with one axis of the inputs alone, or with any (None)."""
        if all(own[axis] == 1 for own in (shape, *known)):
            return True
        changes = [own[axis] != shape[axis] for own in known]
        return (
            any(changes) if number is None else changes == [n == number for n in range(len(known))]
        )

    for axis in range(1, len(shape)):
        others = [other for other in range(1, len(shape)) if other != axis]
        if any(own[axis] != shape[axis] for own in known):
            continue
        if len(others) == 1 and follows(others[0], None):
            return axis
        if len(others) == len(known) and all(follows(o, n) for n, o in enumerate(others)):
            return axis
    return None
