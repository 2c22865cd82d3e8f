"""Errors in the code of a user's own network."""

from __future__ import annotations

import traceback
from pathlib import Path

# Folders of what is installed.
LIBRARIES = {"site-packages", "dist-packages"}


def broken(name: str, error: Exception) -> ValueError:
    """The error for a network of a user's own whose code fails, saying where in that code.

    Args:
        name: of the configuration.
        error: that the code raised, or that reading it did.
    """
    if isinstance(error, SyntaxError):
        place, said = f"{error.filename}, line {error.lineno}", error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        # Where a library complains, what called it is of interest.
        own = [frame for frame in frames if not LIBRARIES & set(Path(frame.filename).parts)]
        last = ([frame for frame in own if not frame.filename.startswith("<")] or frames)[-1]
        place, said = f"{last.filename}, line {last.lineno}", " ".join(str(error).split())
    return ValueError(
        f"network.name: expected code that makes a network, found that {name!r} fails at {place}"
        f" ({type(error).__name__}: {said})"
    )
