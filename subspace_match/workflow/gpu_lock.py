"""A GPU of a job's own, where several jobs share a machine.

Slurm hands each job its GPUs; on a machine without it all jobs see all GPUs, and would all take
the first. So a job that asks for a GPU takes one of those that it sees for as long as it runs, by a
lock that ends with the process however that ends, and waits while all are taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

VISIBLE = "CUDA_VISIBLE_DEVICES"
_SECONDS_BETWEEN_LOOKS = 0.2


@contextmanager
def gpu_of_its_own(say: Callable[[str], object]) -> Iterator[None]:
    """Let this process see, from now on, one GPU that no other such process has, if it sees any.

    It has to be entered before CUDA is loaded.

    Args:
        say: told which GPU it is, and if there is none to be had yet.
    """
    devices = visible_gpus()
    if not devices:
        yield
        return
    with _first_free(devices, say) as device:
        os.environ[VISIBLE] = device
        say(f"on GPU {device} of {','.join(devices)}")
        yield


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process sees: those of CUDA_VISIBLE_DEVICES, or nvidia-smi's."""
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        # CUDA sees what is before the first name of no device.
        hidden = (at for at, name in enumerate(names) if name in ("", "-1", "NoDevFiles"))
        return names[: next(hidden, None)]
    if shutil.which("nvidia-smi") is None:
        return []
    asked = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return answer.stdout.split() if answer.returncode == 0 else []


@contextmanager
def _first_free(devices: list[str], say: Callable[[str], object]) -> Iterator[str]:
    # Slurm numbers the GPUs of each job from 0, so another job's 0 is another GPU.
    job = os.environ.get("SLURM_JOB_ID", "")
    folder = Path(tempfile.gettempdir(), f"subspace-match-gpus-{os.getuid()}-{job}")
    folder.mkdir(exist_ok=True)
    locks = {device: FileLock(folder / f"{device.replace('/', '_')}.lock") for device in devices}
    waiting = False
    while True:
        for device, lock in locks.items():
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield device
            finally:
                lock.release()
            return
        if not waiting:
            say(f"waiting for one of the GPUs {','.join(devices)}, which other jobs have")
            waiting = True
        time.sleep(_SECONDS_BETWEEN_LOOKS)
