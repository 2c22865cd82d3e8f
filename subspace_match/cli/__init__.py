"""The command line, ``subspace-match``."""

from __future__ import annotations

import argparse
import difflib
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import NoReturn, TextIO

from ..extras import MissingExtraError
from ..version import __version__
from . import compare, layers, match, pipeline

_EPILOG = """examples:
  subspace-match a.npy b.npy
      two layers, saved as arrays of (samples, neurons); short for subspace-match match
  subspace-match compare torchvision:resnet18 torchvision:resnet34 --data photos --null 19
      two models on a folder of images, layer by layer
  subspace-match layers timm:vit_tiny_patch16_224
      what can be a layer of a network
  subspace-match report results/experiments/* --out comparison.html
      one page of finished runs of the pipeline

subspace-match COMMAND --help explains a command.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, 2 after bad input, or 130 after Ctrl-C, reported in one line."""
    parser, commands = _parser()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] not in (*commands, "-h", "--help", "--version"):
        if _is_a_word(arguments[0]):
            parser.error(
                f"expected a command or the file of an array, found {arguments[0]!r}"
                f"{_did_you_mean(arguments[0], commands)}; the commands are {', '.join(commands)}"
            )
        arguments.insert(0, "match")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        commands[arguments[0]].refuse(unknown)
    try:
        with _log_on_stderr(), redirect_stdout(_Output(sys.stdout)):
            options.run(options)
    except KeyboardInterrupt:
        _say_on_stderr("interrupted")
        return 130  # as shells report it
    except (ValueError, OSError, MemoryError, MissingExtraError) as error:
        _say_on_stderr(f"error: {error}")
        return 2
    return 0


def _say_on_stderr(text: str) -> None:
    if sys.stderr is not None:  # as after 2>&-
        sys.stderr.write(f"subspace-match: {text}\n")


def _is_a_word(argument: str) -> bool:
    """Return whether an argument looks like a command, not like a file or an option."""
    return re.fullmatch(r"[A-Za-z_]\w*", argument) is not None and not Path(argument).exists()


def _did_you_mean(found: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(found, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


class _Command(argparse.ArgumentParser):
    """The parser of a command, which names the options that a user may have meant."""

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """End with an error for arguments that the command does not have."""
        named = []
        for argument in unknown:
            name = argument.partition("=")[0]
            known = self._option_string_actions if name.startswith("-") else ()
            named.append(f"{argument}{_did_you_mean(name, known)}")
        self.error(f"unrecognized arguments: {' '.join(named)}")


class _Output(io.TextIOBase):
    """Standard output whose reader may leave, as in ``subspace-match ... --out DIR | head``.

    The command then goes on without it, because it may have files to write.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Write to a stream; None if the command was started without one."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write at once, so that a full disk is an error of the command."""
        if self._stream is not None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except BrokenPipeError:
                # Python writes what it still has when it ends.
                with Path(os.devnull).open("w") as nothing:
                    os.dup2(nothing.fileno(), self._stream.fileno())
                self._stream = None
        return len(text)


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show what is decided, and how far work is, as it happens."""
    log, handler = logging.getLogger("subspace_match"), logging.StreamHandler()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _parser() -> tuple[argparse.ArgumentParser, dict[str, _Command]]:
    """Return the parser, and the parser of each subcommand."""
    parser = argparse.ArgumentParser(
        prog="subspace-match",
        description="Compare layers or models by neurons, or inspect results of the pipeline.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Command
    )

    def add(
        name: str, run: Callable[[argparse.Namespace], None], summary: str, epilog: str
    ) -> _Command:
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    summary = "find the neurons of two layers that span each other"
    match.add_arguments(add("match", match.run, summary, match.EPILOG))

    summary = "list what a network computes and which nodes are layers"
    layers.add_arguments(add("layers", layers.run, summary, layers.EPILOG))
    summary = "compare two models, layer by layer, on a folder of images"
    compare.add_arguments(add("compare", compare.run, summary, compare.EPILOG))

    summary = "write one HTML page that compares finished runs"
    report = add("report", pipeline.report, summary, pipeline.REPORT)
    _reads_runs(report, "the page", "report.html")

    summary = "test measures of similarity on runs whose networks differ in a known way"
    grounding = add("grounding", pipeline.grounding, summary, pipeline.GROUNDING)
    _reads_runs(grounding, "the table", "grounding.csv")

    summary = "check the files of a configuration, without Snakemake"
    check = add("check", pipeline.check, summary, pipeline.CHECK)
    help_text = "as for snakemake --configfile: they override config/config.yaml and each other"
    check.add_argument("files", nargs="*", type=Path, metavar="FILE", help=help_text)

    summary = "print what made a result"
    provenance = add("provenance", pipeline.provenance, summary, pipeline.PROVENANCE)
    help_text = "a table, figure, network, store or other result"
    provenance.add_argument("file", type=Path, help=help_text)

    summary = "list or remove results that are no longer current"
    prune = add("prune", pipeline.prune, summary, pipeline.PRUNE)
    prune.add_argument(
        "--configfile",
        nargs="+",
        default=[],
        metavar="FILE",
        help="experiments whose results to keep, besides those of config/config.yaml",
    )
    prune.add_argument("--delete", action="store_true", help="remove what is listed")
    return parser, commands.choices


def _reads_runs(command: argparse.ArgumentParser, made: str, name: str) -> None:
    """Add the arguments of a command that makes one file from finished runs."""
    command.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="a run: results/experiments/NAME"
    )
    help_text = f"{made} (default: {name})"
    command.add_argument("--out", type=Path, default=Path(name), help=help_text)
