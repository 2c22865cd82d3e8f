"""A server that starts Python programs as forks of itself, after it has imported their libraries.

Imports take most of the time of a short job. Two more things that are the same for all programs are
done once: finding Snakemake's plugins, and making the page's plotting library. Run as a program;
``forks`` starts it. Nothing of this project may be imported here: a program imports the copy in its
own folder.

    fork_server.py FOLDER PROCESS MODULE ...

FOLDER contains the clients and gets the socket; when PROCESS ends, the server removes it and ends.
A request is a dictionary as ``ascii`` writes it, on one line, and the three standard files. Signals
may follow, a byte each; they go to the program and to what it started, as a terminal's and Slurm's
do. The answer is the exit status in the form of ``subprocess``: negative for a signal.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import gc
import hashlib
import importlib
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


def serve(folder: Path, ended: int) -> dict[str, Any]:
    """Return, in a new process, each request for a program; end when a process has ended.

    Args:
        folder: folder of the socket.
        ended: file descriptor of the process (``os.pidfd_open``).
    """
    clients = Clients()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket"))
        server.listen(64)
        clients.events.register(ended, select.POLLIN)
        clients.events.register(server, select.POLLIN)
        gc.freeze()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for event, _ in clients.events.poll():
                if event == ended:
                    shutil.rmtree(folder)
                    os._exit(0)
                if event != server.fileno():
                    clients.handle(event)
                    continue
                connection, _ = server.accept()
                try:
                    request, files = _receive(connection)
                except ConnectionError:  # the client was killed
                    connection.close()
                    continue
                # Only one fork for each program: it copies the page tables of all libraries.
                program = os.fork()
                if program == 0:
                    connection.close()
                    clients.close()
                    os.close(ended)
                    os.setsid()
                    for number, file in enumerate(files):
                        os.dup2(file, number)
                        os.close(file)
                    return request
                for file in files:
                    os.close(file)
                clients.add(connection, program)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    text, files, _, _ = socket.recv_fds(connection, 1 << 16, 3)
    while not text.endswith(b"\n"):  # the only one: ascii escapes those in texts
        part = connection.recv(1 << 16)
        if not part:
            for file in files:
                os.close(file)
            raise ConnectionError("the client ended while it sent its request")
        text += part
    return ast.literal_eval(text.decode()), files


class Clients:
    """The clients that wait for a program."""

    def __init__(self) -> None:
        self.events = select.poll()
        # By the file descriptors of the program and of the connection.
        self._waiting: dict[int, tuple[socket.socket, int, int]] = {}

    def add(self, connection: socket.socket, program: int) -> None:
        """Take on a client and the program that it waits for."""
        ended = os.pidfd_open(program)
        for event in (ended, connection.fileno()):
            self._waiting[event] = connection, program, ended
            self.events.register(event, select.POLLIN)

    def close(self) -> None:
        """Close all connections, in a process that does not serve them."""
        for connection, _, ended in self._waiting.values():
            connection.close()
            with contextlib.suppress(OSError):  # each is here twice
                os.close(ended)

    def handle(self, event: int) -> None:
        """Pass signals on to a program or send its exit status; kill it if nobody waits."""
        if event not in self._waiting:  # its program has ended just now
            return
        connection, program, ended = self._waiting[event]
        if event == ended:
            _, status = os.waitpid(program, 0)
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"%d" % os.waitstatus_to_exitcode(status))
            for each in (ended, connection.fileno()):
                if self._waiting.pop(each, None):
                    self.events.unregister(each)
            os.close(ended)
            connection.close()
            return
        with contextlib.suppress(ConnectionError):
            if numbers := connection.recv(16):
                for number in numbers:
                    _signal(program, number)
                return
        # A hang-up.
        _signal(program, signal.SIGKILL)
        self.events.unregister(event)
        del self._waiting[event]


def _signal(program: int, number: int) -> None:
    """Send a signal to a program and what it started."""
    try:
        os.killpg(program, number)
    except ProcessLookupError:  # it has no group of its own yet
        os.kill(program, number)


def become(request: dict[str, Any], executable: str, before: list[str]) -> None:
    """Run a program as ``python ARGUMENTS`` does.

    Args:
        request: its arguments, working folder and environment.
        executable: the program that sends requests here.
        before: the search path without the folder of a script.
    """
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.executable = executable
    sys.orig_argv = [executable, *request["arguments"]]
    searched = os.environ.get("PYTHONPATH")
    more = searched.split(os.pathsep) if searched else []
    sys.path[:] = [*more, *before]
    if more:
        sys.modules.pop("sitecustomize", None)
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("sitecustomize")
    first, *rest = request["arguments"]
    if first == "-m":
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.path.insert(0, str(Path(first).resolve().parent))
        sys.argv = [first, *rest]
        runpy.run_path(first, run_name="__main__")


def end(run: Callable[[], None]) -> NoReturn:
    """Run a program and end as Python does, without the long removal of all modules."""
    status: object = None
    try:
        run()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(status, str):
        sys.stderr.write(f"{status}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(status is not None) if not isinstance(status, int) else status & 255)


def share_plotting_library(folder: Path) -> None:
    """Let the first program that needs the page's plotting library keep it for the others."""
    import vl_convert

    make = vl_convert.javascript_bundle

    def made_once(snippet: str) -> str:
        file = folder / hashlib.sha256(snippet.encode()).hexdigest()
        if not file.exists():
            own = file.with_suffix(f".{os.getpid()}")
            own.write_text(make(snippet), encoding="utf-8")
            own.replace(file)
        return file.read_text(encoding="utf-8")

    vl_convert.javascript_bundle = made_once


def forget_finalizers() -> None:
    """Let no program finalize what libraries made at import; it would take as long as the fork."""
    for finalizer in [*weakref.finalize._registry]:  # type: ignore[attr-defined]
        finalizer.atexit = False
    atexit.unregister(sys.modules["torch._dynamo.utils"].dump_compile_times)


def _threads() -> int:
    """Count the threads of this process, without jemalloc's, which is made for forks."""
    names = [file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm")]
    return sum(name != "jemalloc_bg_thd" for name in names)


if __name__ == "__main__":
    folder, process, *modules = Path(sys.argv[1]), *sys.argv[2:]
    ended = os.pidfd_open(int(process))
    del sys.path[0]
    for module in modules:
        importlib.import_module(module)
    sys.modules["snakemake.cli"].get_argument_parser()  # finds all plugins
    share_plotting_library(folder)
    forget_finalizers()
    assert _threads() == 1, "a fork has only the thread that forks"
    assert "subspace_match" not in sys.modules
    request = serve(folder, ended)
    end(lambda: become(request, str(folder / "python"), list(sys.path)))
