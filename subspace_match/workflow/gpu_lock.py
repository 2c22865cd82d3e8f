"""One GPU for each job where several jobs share a machine.

Slurm gives each job its own GPUs. On a machine without Slurm every job sees all GPUs and would use
the first. So a job that asks for a GPU locks one of those that it sees, and waits while all are
locked. The lock ends with the process.
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

from .file_lock import POLL_SECONDS, lock_if_free

VISIBLE = "CUDA_VISIBLE_DEVICES"


@contextmanager
def exclusive_gpu(notify: Callable[[str], object]) -> Iterator[None]:
    """Restrict this process to one GPU that no other such process uses, if it sees any GPU.

    Enter it before CUDA is loaded; the restriction stays. ``notify`` gets a message that names the
    GPU, and one before waiting.
    """
    devices = visible_gpus()
    if not devices:
        yield
        return
    with _first_free(devices, notify) as device:
        os.environ[VISIBLE] = device
        notify(f"on GPU {device} of {','.join(devices)}")
        yield


def visible_gpus() -> list[str]:
    """Return the GPUs this process sees: those in CUDA_VISIBLE_DEVICES, else nvidia-smi's."""
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        # CUDA ignores everything from the first invalid name on.
        invalid = (at for at, name in enumerate(names) if name in ("", "-1", "NoDevFiles"))
        return names[: next(invalid, None)]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return answer.stdout.split() if answer.returncode == 0 else []


@contextmanager
def _first_free(devices: list[str], notify: Callable[[str], object]) -> Iterator[str]:
    # Slurm numbers the GPUs of each job from 0, so another job's 0 is another GPU.
    job = os.environ.get("SLURM_JOB_ID", "")
    folder = Path(tempfile.gettempdir(), f"subspace-match-gpus-{os.getuid()}-{job}")
    folder.mkdir(exist_ok=True)
    waiting = False
    while True:
        for device in devices:
            with lock_if_free(folder / f"{device.replace('/', '_')}.lock") as free:
                if free:
                    yield device
                    return
        if not waiting:
            notify(f"waiting for one of the GPUs {','.join(devices)}, which other jobs use")
            waiting = True
        time.sleep(POLL_SECONDS)
