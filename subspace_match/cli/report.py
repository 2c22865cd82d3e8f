"""``subspace-match report``: one page that shows several finished runs side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..extras import needs

SUMMARY = "write one HTML page that compares finished runs"
EPILOG = """example:
  subspace-match report results/experiments/vgg11_bn-* --out comparison.html

The page needs no network. Every run of the pipeline writes its own page too.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the folders and the page."""
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="a run: results/experiments/NAME"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="the page (default: report.html)"
    )


def run(options: argparse.Namespace) -> None:
    """Write the page.

    Raises:
        ValueError: if a folder does not hold a finished run.
    """
    with needs("workflow", "report"):
        from ..report import write_page

        write_page(options.folders, options.out)
