"""The command line: ``main`` and one module per subcommand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..extras import MissingExtraError
from . import match, provenance, prune, report

COMMANDS = {"match": match, "report": report, "provenance": provenance, "prune": prune}

_EPILOG = """'subspace-match a.npy b.npy ...' is short for 'subspace-match match a.npy b.npy ...'.
'subspace-match COMMAND --help' explains a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after bad input, which is reported in one line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] not in (*COMMANDS, "-h", "--help"):
        arguments.insert(0, "match")
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, MemoryError, MissingExtraError) as error:
        sys.stderr.write(f"subspace-match: error: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="subspace-match",
        description="Compare two layers neuron by neuron, or inspect results of the pipeline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.SUMMARY[0].upper() + module.SUMMARY[1:] + ".",
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
