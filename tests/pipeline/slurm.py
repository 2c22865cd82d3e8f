"""A real Slurm on this machine only: its daemons use one folder and loopback ports.

The machine is its one node, with two CPUs and two GPUs that are not real. Three settings save
minutes of waiting: Slurm does not requeue jobs of a lost node (JobRequeue), and notices after
seconds that a restarted node has lost a job (BatchStartTimeout and MessageTimeout).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipeline import forks
from pipeline.forks import environment
from pipeline.workspaces import Run, Workspace

DAEMONS = ("munged", "slurmctld", "slurmd")
HOST = socket.gethostname().partition(".")[0]
# Debian installs the daemons in a folder that is only on root's PATH.
SEARCHED = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])

# Seconds until Slurm gives up a message; by default 10.
MESSAGE_TIMEOUT = 5
SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SlurmdParameters=config_overrides
ReturnToService=0
JobRequeue=0
BatchStartTimeout=1
MessageTimeout={message_timeout}
MinJobAge=300
KillWait=30
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE DefMemPerCPU=100 State=UP
"""
GRES_CONF = """
AutoDetect=off
Name=gpu File={root}/nvidia[0-1]
"""
# The Snakemake inside a job does not pass SLURM_CONF on to srun.
SRUN = """#!/bin/sh
SLURM_CONF={conf} exec {srun} "$@"
"""
# There is no accounting database: answer from the queue.
SACCT = """#!/bin/sh
while [ $# -gt 1 ] && [ "$1" != --name ]; do shift; done
[ "$1" != --name ] || exec squeue -h -t all -o '%i|%T' --name "$2"
"""
# Snakemake that checks its jobs every second; by default the interval grows to minutes.
IMPATIENT = """
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, _: None)
from snakemake.cli import main
main()
"""


def missing_programs() -> list[str]:
    """Names of the required programs that are not installed."""
    return [name for name in (*DAEMONS, "sbatch") if shutil.which(name, path=SEARCHED) is None]


def wait_until(true: Callable[[], bool], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"in {seconds} s not seen: {what}"
        time.sleep(0.25)  # most conditions start a program of Slurm


class Cluster:
    """A running Slurm."""

    def __init__(self, root: Path) -> None:
        """Start the daemons.

        Args:
            root: an empty folder of a short path, since a socket's may have 107 characters.
        """
        self._root = root
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._started: list[subprocess.Popen[str]] = []
        conf = root / "slurm.conf"
        ports = dict(zip(("controller_port", "node_port"), _free_ports(2), strict=True))
        conf.write_text(
            SLURM_CONF.format(host=HOST, root=root, message_timeout=MESSAGE_TIMEOUT, **ports)
        )
        (root / "gres.conf").write_text(GRES_CONF.format(root=root))
        for number in range(2):  # device files that are as good as /dev/null
            os.mknod(root / f"nvidia{number}", 0o20666, os.makedev(1, 3))
        (root / "bin").mkdir()
        for name, text in (
            ("srun", SRUN.format(conf=conf, srun=shutil.which("srun"))),
            ("sacct", SACCT),
        ):
            (root / "bin" / name).write_text(text)
            (root / "bin" / name).chmod(0o755)
        kept = environment()
        self._environment = kept | {
            "SLURM_CONF": str(conf),
            "PATH": os.pathsep.join([str(root / "bin"), kept["PATH"], "/usr/sbin"]),
        }
        self._start_munge()
        for folder in ("state", "spool"):
            (root / folder).mkdir()
        self._start("slurmctld", "-D", "-i")
        self.start_node_daemon()
        idle = ("sinfo", "-h", "-o", "%T")
        wait_until(lambda: self.command(*idle, may_fail=True).strip() == "idle", "an idle node")

    def start_node_daemon(self) -> None:
        """Start slurmd and wait until it has registered its jobs."""
        before = self._node_daemon_start()
        self._start("slurmd", "-D", "-N", HOST)
        wait_until(lambda: self._node_daemon_start() != before, "a node that has registered")

    def _node_daemon_start(self) -> str:
        """Return slurmd's last start time, as slurmctld knows it."""
        node = self.command("scontrol", "show", "node", HOST, may_fail=True)
        return node.partition("SlurmdStartTime=")[2].split("\n")[0]

    def kill_node_daemon(self) -> None:
        """Kill slurmd only; the processes of its jobs go on."""
        self._daemons["slurmd"].kill()
        self._daemons["slurmd"].wait()

    def kill_processes(self, job: str) -> None:
        """Kill all processes of a job, as when its node goes down."""
        own = self.processes(job)
        # First the parents, which would report the end of their children.
        steps = {parent for process in own if (parent := _parent(process)) > 1} - set(own)
        for process in [*steps, *own]:
            with contextlib.suppress(ProcessLookupError):  # it ended with its parent
                os.kill(process, signal.SIGKILL)

    def processes(self, job: str) -> list[int]:
        """Return the process ids of a running job."""
        lines = self.command("scontrol", "listpids", job).splitlines()[1:]
        return [pid for line in lines if (pid := int(line.split()[0])) > 0]

    def _start_munge(self) -> None:
        key, socket_file = self._root / "munge.key", self._root / "munge.socket"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        own = {
            "key-file": key,
            "socket": socket_file,
            "pid-file": self._root / "munge.pid",
            "log-file": self._root / "munge.log",
            "seed-file": self._root / "munge.seed",
        }
        # Forced: munged refuses folders that others may write to, such as /tmp.
        self._start("munged", "-F", "--force", *(f"--{name}={file}" for name, file in own.items()))
        wait_until(socket_file.exists, "munge's socket")

    def _start(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=SEARCHED)
        assert program
        with (self._root / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [program, *arguments],
                env=self._environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def clear(self) -> None:
        """End the Snakemake processes and jobs that a failed test left."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._started.clear()
        self.command("scancel", "--user=root")
        wait_until(lambda: not self.jobs("pending,running,completing"), "an empty queue")

    def stop(self) -> None:
        """End the daemons and the processes that jobs of a lost node left."""
        for daemon in reversed(self._daemons.values()):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and str(self._root) in _read(folder / "environ"):
                os.kill(int(folder.name), signal.SIGKILL)

    def command(self, *arguments: str, may_fail: bool = False) -> str:
        """Return what one of Slurm's commands prints."""
        result = subprocess.run(
            arguments, env=self._environment, capture_output=True, text=True, check=False
        )
        assert may_fail or result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def jobs(self, states: str = "all", of: str = "%i") -> list[str]:
        """Return a squeue field of each job, in the order of submission."""
        lines = self.command("squeue", "-h", "-S", "i", "-t", states, "-o", of).splitlines()
        return [line.strip() for line in lines]

    def gpus(self) -> list[str]:
        """Return the GPUs that each job asked for, in the order of submission."""
        return self.command("squeue", "-h", "-S", "i", "-t", "all", "-O", "tres-per-job").split()

    def set_node(self, state: str) -> None:
        """Take the node away (down, drain) or give it back (resume)."""
        self.command("scontrol", "update", f"nodename={HOST}", f"state={state}", "reason=test")

    def start(
        self, workspace: Workspace, *arguments: str, forked: bool = False
    ) -> subprocess.Popen[str]:
        """Start Snakemake with the cluster's profile.

        Args:
            workspace: the project.
            arguments: of Snakemake.
            forked: whether it and the Python programs of its jobs run as forks. Slurm sees only the
                programs that wait for these. They pass signals on, but not SIGSTOP.
        """
        quick = ["--latency-wait", "5", "--slurm-init-seconds-before-status-checks", "1"]
        quick += ["--slurm-status-command", "sacct"]
        python = str(forks.folder() / "python") if forked else sys.executable
        process = subprocess.Popen(
            [python, "-c", IMPATIENT, "--profile", "profiles/slurm", *quick, *arguments],
            cwd=workspace.root,
            env=workspace.with_python_path(self._environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str], *, fails: bool = False) -> Run:
        """Wait for a Snakemake started by ``start``."""
        try:
            text, _ = process.communicate(timeout=1200)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            raise AssertionError(f"Snakemake did not end\n{text}") from None
        assert (process.returncode != 0) == fails, text
        return Run(process.returncode, text)

    def snakemake(self, workspace: Workspace, *arguments: str, fails: bool = False) -> Run:
        """Run Snakemake with the cluster's profile to its end, with its processes as forks."""
        return self.finish(self.start(workspace, *arguments, forked=True), fails=fails)


def _parent(process: int) -> int:
    """Return a process's parent, 0 if the process has ended."""
    fields = _read(Path("/proc", str(process), "stat")).rpartition(")")[2].split()
    return int(fields[1]) if fields else 0


def _read(file: Path) -> str:
    """Return a file of /proc, or "" if its process has ended."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
