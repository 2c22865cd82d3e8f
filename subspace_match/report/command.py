"""The command ``subspace-match report``: one page of several finished runs, side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

_EXAMPLE = """example:
  subspace-match report results/experiments/vgg11_bn-* --out comparison.html
"""


def main(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises:
        ValueError: if a folder is not one of a finished run.
    """
    from . import write_page

    options = _parser().parse_args(arguments)
    write_page(options.folders, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="subspace-match report",
        description="One page of finished runs, side by side, for a browser without a network.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="of a run, results/experiments/NAME"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="the page (default: report.html)"
    )
    return parser
