"""Snakemake in processes that have imported it already, which takes most of a short run's time.

A fork server imports Snakemake once and starts each run as a fork of itself. Nothing of this
project is imported before the run, which reads the copy in its own folder.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SECONDS = 1200


def run_snakemake(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], output: Path
) -> int:
    """Run ``python -m snakemake`` in a folder to its end; return its exit status.

    Args:
        folder: working folder.
        arguments: of the command line.
        environment: all environment variables; of those for Python only PYTHONPATH.
        output: file that gets everything it prints.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["snakemake.cli"])
    process = context.Process(target=_run, args=(folder, arguments, environment, output))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        raise TimeoutError(f"Snakemake did not end in {SECONDS} s\n{output.read_text()}")
    return process.exitcode


def _run(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], output: Path
) -> None:
    os.setsid()
    printed = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(printed, stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # What a new Python would find, not what the tests do.
    own = [path for path in sys.path if not _is_of_the_tests(path)]
    sys.path[:] = ["", *filter(None, [environment.get("PYTHONPATH")]), *own]
    sys.argv = ["snakemake", *arguments]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    assert "subspace_match" not in sys.modules
    with contextlib.suppress(ImportError):
        import sitecustomize  # noqa: F401

    from snakemake.cli import main

    main()


def _is_of_the_tests(path: str) -> bool:
    # The environment may lie in the project's folder.
    return not path or (Path(path).is_relative_to(PROJECT) and "site-packages" not in path)
