"""``subspace-match provenance``: print what made a result."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..extras import needs

SUMMARY = "print what made a result"
EPILOG = """The output names configuration, networks, versions, commit and command.

example:
  subspace-match provenance results/experiments/NAME/tables/similarity.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file."""
    parser.add_argument("file", type=Path, help="a table, figure, network, store or other result")


def run(options: argparse.Namespace) -> None:
    """Print the record as YAML.

    Raises:
        ValueError: if the file or its record is missing, or the file was changed since.
    """
    with needs("workflow", "provenance"):
        from ..workflow.provenance import described

        sys.stdout.write(described(options.file))
