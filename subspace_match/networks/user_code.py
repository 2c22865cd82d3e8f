"""Networks defined by the user's own code, and errors in that code."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .wording import first_few

if TYPE_CHECKING:
    from torch import nn

# Folders of installed packages.
LIBRARIES = {"site-packages", "dist-packages"}

_RETURNS_MODULE = "network.name: expected a class or function that returns an nn.Module, found"


def import_user_code(name: str) -> Callable[..., Any]:
    """Import ``package.module:callable``.

    Raises:
        ValueError: if it cannot be imported or called.
    """
    from torch import nn

    source, _, target = name.partition(":")
    # Checkpoints contain such names, and a checkpoint may come from a stranger.
    if source.partition(".")[0] in sys.stdlib_module_names:
        raise ValueError(
            f"network.name: expected a class or function of your own, found {name!r}, which is in"
            " Python's standard library; rename the module if it is yours"
        )
    try:
        make: Callable[..., Any] = getattr(importlib.import_module(source), target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"network.name: expected an importable package.module:callable, found {name!r}"
            f" ({error}); is it installed, or its folder in PYTHONPATH?"
        ) from error
    except Exception as error:
        raise broken(name, error) from error
    if isinstance(make, nn.Module) or not callable(make):
        raise ValueError(f"{_RETURNS_MODULE} {name!r}, an object of {type(make).__name__}")
    return make


def build_from_user_code(name: str, options: Mapping[str, Any]) -> nn.Module:
    """Import ``package.module:callable`` and call it with keyword arguments.

    Raises:
        ValueError: if it cannot be imported or called, fails, or does not return an nn.Module that
            has all its weights.
    """
    from torch import nn
    from torch.nn.parameter import is_lazy

    make = import_user_code(name)
    try:
        inspect.signature(make).bind(**options)
    except TypeError as error:
        given = f" with {', '.join(options)}" if options else " without arguments"
        raise ValueError(
            f"network.name: expected a class or function to call{given}, found {name!r} ({error});"
            " set its arguments in network.options"
        ) from error
    try:
        network = make(**options)
    except Exception as error:
        raise broken(name, error) from error
    if not isinstance(network, nn.Module):
        raise ValueError(
            f"{_RETURNS_MODULE} {name!r}, which returns an object of {type(network).__name__}"
        )
    if lazy := [path for path, weights in network.named_parameters() if is_lazy(weights)]:
        raise ValueError(
            f"network.name: expected code that makes all weights, found that {name!r} leaves the"
            f" sizes of {first_few(lazy)} to the first run; give them, as with nn.Linear instead of"
            " nn.LazyLinear"
        )
    return network


def broken(name: str, error: Exception) -> ValueError:
    """Return the error for failing code of ``network.name``, with the file and line."""
    if isinstance(error, SyntaxError):
        location, reason = f"{error.filename}, line {error.lineno}", error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        # If a library raises the error, show the line of user code that called it.
        own = [frame for frame in frames if not LIBRARIES & set(Path(frame.filename).parts)]
        last = ([frame for frame in own if not frame.filename.startswith("<")] or frames)[-1]
        location, reason = f"{last.filename}, line {last.lineno}", " ".join(str(error).split())
    return ValueError(
        f"network.name: expected code that makes a network, found that {name!r} fails at {location}"
        f" ({type(error).__name__}: {reason})"
    )
