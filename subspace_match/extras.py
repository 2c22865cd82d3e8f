"""Optional packages: the message when one is missing names the extra that installs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class MissingExtraError(ImportError):
    """An optional package is not installed."""


@contextmanager
def needs(extra: str, purpose: str) -> Iterator[None]:
    """Name the extra to install if an import in this block does not find its package.

    Args:
        extra: one of the package's extras, such as "plots".
        purpose: what needs it, the start of the message.

    Raises:
        MissingExtraError: if a package is not installed.

    Example:
        >>> with needs("plots", "report"):
        ...     import a_package_for_plots
        Traceback (most recent call last):
        ...
        subspace_match.extras.MissingExtraError: report needs a_package_for_plots:\
 pip install 'subspace-match[plots]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs {package}: pip install 'subspace-match[{extra}]'"
        ) from error
