"""Python programs that start as forks of a server, which has imported their libraries already.

Imports take most of the time of a tiny pipeline. In ``forked_environment``, Python, Snakemake, DVC
and all Python programs that they start run as forks. A program has its own process, files,
environment and search path, and imports the project from its own folder. All have one thread, as
the configurations of the tests say. ``fork_server`` says what else they share.

Fresh processes run where a test itself stops or kills a job, and make the results that those of
forks must equal (``conftest.finished``).
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

SERVER = Path(__file__).with_name("fork_server.py")
LIBRARIES = (
    # Of Snakemake.
    "snakemake.cli",
    "snakemake.profiles",
    "snakemake.report.html_reporter",
    "grimp",
    "nbformat",
    "requests",
    "smart_open",
    # Of the jobs.
    "jsonschema",
    "torch",
    "torch.fx",
    "torchvision",
    "safetensors.torch",
    "timm",
    "transformers.models.gpt2.modeling_gpt2",
    "mlxtend.data",
    "sklearn.model_selection",
    "zarr",
    "numba.typed",
    "scipy.cluster.hierarchy",
    "scipy.stats",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "PIL.WebPImagePlugin",
    "vl_convert",
    # Of DVC.
    "dvc.api",
    "dvc.cli.parser",
    "dvc.repo.experiments.queue.celery",
    "dvc.repo.experiments.queue.tempdir",
    "dvc.repo.plots.diff",
    "dvc.utils.hydra",
    "networkx",
    "pygit2",
    "ruamel.yaml",
)
# Sends its arguments to the server, then each signal. With -I and -S Python starts in 10 ms; to
# import json, signal and socket would take longer than that.
CLIENT = """#!{python} -IS
import os, sys
import _signal as signal, _socket as socket

request = {{
    "arguments": [{arguments}*sys.argv[1:]],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
}}
passed_on = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
passed_on = [number for number in passed_on if signal.getsignal(number) != signal.SIG_IGN]
files = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
text = ascii(request).encode() + b"\\n"
sent = server.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
server.sendall(text[sent:])
for number in passed_on:
    signal.signal(number, lambda number, frame: server.send(bytes([number])))
status = int(server.recv(16))
for number in passed_on:
    signal.signal(number, signal.SIG_DFL)
server.close()
if status < 0:
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


def environment() -> dict[str, str]:
    """Return a user's environment, without the search path of the tests and DVC's statistics."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PY")}
    kept["DVC_NO_ANALYTICS"] = "true"
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def forked_environment() -> dict[str, str]:
    """Return a user's environment in which Python programs start as forks."""
    own = environment()
    return own | {"PATH": f"{folder()}{os.pathsep}{own['PATH']}"}


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python``, ``snakemake`` or ``dvc`` as a fork to its end."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=forked_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@functools.cache
def folder() -> Path:
    """Return a folder with ``python``, ``snakemake`` and ``dvc``, all of this test run."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    programs = Path(tempfile.gettempdir(), f"forks-{run or os.getpid()}")
    programs.mkdir(exist_ok=True)
    with FileLock(programs / "lock"):
        if not (programs / "socket").exists():
            for name in ("python", "snakemake", "dvc"):
                _write_client(programs, name)
            _start_server(programs, os.getppid() if run else os.getpid())
    return programs


def _write_client(programs: Path, name: str) -> None:
    installed = str(Path(sys.executable).with_name(name))
    text = CLIENT.format(
        python=sys.executable,
        address=str(programs / "socket"),
        arguments="" if name == "python" else f"{installed!r}, ",
    )
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def _start_server(programs: Path, lifetime: int) -> None:
    """Start the server, which ends and removes the folder when the process ``lifetime`` ends."""
    server = subprocess.Popen(
        [sys.executable, str(SERVER), str(programs), str(lifetime), *LIBRARIES],
        env=environment(),
        cwd=programs,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # it outlives the test process that started it
        text=True,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
