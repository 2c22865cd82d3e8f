"""``subspace-match prune``: list or remove results that are no longer current."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..extras import needs

SUMMARY = "list or remove results that are no longer current"
EPILOG = """A result is current if a configuration and the present code name it. Run this in the
project's folder. Without --delete nothing is removed.

example:
  subspace-match prune --configfile config/mine.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the configurations and whether to delete."""
    parser.add_argument(
        "--configfile",
        nargs="+",
        default=[],
        metavar="FILE",
        help="experiments whose results to keep, besides those of config/config.yaml",
    )
    parser.add_argument("--delete", action="store_true", help="remove what is listed")


def run(options: argparse.Namespace) -> None:
    """List or remove the results.

    Raises:
        ValueError: if a configuration is wrong, or this is not a project's folder.
    """
    with needs("workflow", "prune"):
        from ..workflow.prune import prune

        prune(Path(), options.configfile, delete=options.delete)
