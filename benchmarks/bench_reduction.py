"""Measure memory and speed of the reduction of a long layer from disk.

    python benchmarks/bench_reduction.py [samples] [rounds]

Two layers of 64 neurons, float32, in Zarr v3 arrays that are chunked, sharded and compressed as in
an activation store; 2,000,000 samples by default. Each reduction runs in its own process, whose
peak memory is read from Linux; "over" is its growth relative to SHORT samples. The arrays are in
the page cache, so reading means decompressing, not disk access. "in memory" reduces the same arrays
after reading them. "dependent" is a pair in which Y contains a copy of one of X's neurons, so that
a second read for the streaming QR is needed. Each time is the minimum of a few alternating rounds.
Quote ratios.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

import subspace_match as sm
from subspace_match.storage.activations import CHUNK_BYTES, SHARD_CHUNKS

NEURONS = 64
SHORT = 100_000
KINDS = ("plain", "dependent")


def write(folder: Path, samples: int) -> None:
    """Write two ReLU layers with shared features, for both kinds, shard by shard."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(NEURONS, 2 * NEURONS)).astype(np.float32)
    group, chunk = zarr.create_group(folder, zarr_format=3), CHUNK_BYTES // (4 * NEURONS)
    shard = min(SHARD_CHUNKS, -(-samples // chunk)) * chunk
    arrays = {
        name: group.create_array(
            name,
            shape=(samples, NEURONS),
            chunks=(chunk, NEURONS),
            shards=(shard, NEURONS),
            dtype="float32",
            compressors=[ZstdCodec(level=1), Crc32cCodec()],
        )
        for name in ("x", *KINDS)
    }
    for start in range(0, samples, shard):
        rows = slice(start, min(start + shard, samples))
        size = rows.stop - start
        hidden = np.maximum(rng.standard_normal((size, NEURONS), dtype=np.float32), 0)
        noise = rng.standard_normal((size, 2 * NEURONS), dtype=np.float32)
        x, y = np.split(np.maximum(hidden @ mix + noise, 0), 2, axis=1)
        arrays["x"][rows], arrays["plain"][rows] = x, y
        y[:, 1] = x[:, 0]
        arrays["dependent"][rows] = y


def measure(folder: str, kind: str, in_memory: bool) -> None:
    """Run one reduction; print its seconds and this process's peak memory in MB."""
    group = zarr.open_group(folder, mode="r")
    x, y = group["x"], group[kind]
    if in_memory:
        x, y = x[:], y[:]
    start = time.perf_counter()
    pair = sm.reduce(x, y, device="cpu")
    seconds = time.perf_counter() - start
    assert pair.well_conditioned == (kind == "plain")
    # getrusage would start at the peak of the parent, which wrote the arrays.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    sys.stdout.write(json.dumps([seconds, peak]))


def child(*arguments: object) -> list[float]:
    """Run ``measure`` in a new process; return its seconds and peak memory."""
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return list(json.loads(found.stdout))


def main() -> None:
    arguments = [int(argument) for argument in sys.argv[1:]]
    samples, rounds = (*arguments, *(2_000_000, 3)[len(arguments) :])
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder, "long"), Path(folder, "short")
        write(long, samples)
        write(short, SHORT)
        works = [(where, kind, how) for where in (short, long) for kind in KINDS for how in (0, 1)]
        runs = {work: [] for work in works}
        for _ in range(rounds):
            for work in works:
                runs[work].append(child(*work))
        best = {work: np.min(times, axis=0) for work, times in runs.items()}
    print(f"{samples} samples of {NEURONS} + {NEURONS} neurons, float32")
    print(f"{'':24}{'s':>8}{'of in memory':>14}{'peak, MB':>10}{'over, MB':>10}")
    for kind in KINDS:
        for how, name in enumerate(("from disk", "in memory")):
            seconds, peak = best[long, kind, how]
            speed, over = best[long, kind, 1][0] / seconds, peak - best[short, kind, how][1]
            print(f"{kind + ', ' + name:24}{seconds:8.2f}{speed:13.0%} {peak:10.0f}{over:10.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3], bool(int(sys.argv[4])))
    else:
        main()
