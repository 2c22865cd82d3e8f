"""The command ``subspace-match report``: one page of finished runs."""

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
        ValueError: if a folder does not contain a finished run.
    """
    from . import write_page

    options = _parser().parse_args(arguments)
    write_page(options.folders, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="subspace-match report",
        description="Show finished runs side by side on one page that needs no network.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="folder of a run, results/experiments/NAME",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), help="page to write (default: report.html)"
    )
    return parser
