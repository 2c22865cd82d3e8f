"""Measure pages of three sizes: file size, time to make, to open and to interact.

    OMP_NUM_THREADS=1 python benchmarks/bench_report.py

The tables have the sizes of three runs and random numbers; nothing is trained. "default" is the
default configuration, VGG-11 of half width on 1,000 digits. "ResNet-110" has three pairs of
networks of published width, 109 layers and 16 draws, on 10,000 small colour images. "VGG-16" has
the two fully connected layers with 4,096 neurons on ImageNet, without images.

"make" is the whole command including the start of Python, "CPU" its processor time on all cores. In
Debian's Chromium, "first figure" is the time from the start of navigation until the similarity by
depth is painted. "slider" is the time from the start of a frame until everything visible that
depends on epsilon is redrawn and laid out, median and largest of 30 positions; "table" is the same
for scrolling the table of neurons. The "CPU" after them is the main thread's processor time,
including painting. All takes two minutes. Other processes on the machine add to all other times.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Browser, sync_playwright

from subspace_match.data import prepared
from subspace_match.experiment.config import validated
from subspace_match.matching.certificate import Certificate
from subspace_match.matching.minimal.result import MinimalMatches
from subspace_match.results import many_networks, tables
from subspace_match.results.tables import LayerResult, PairNames
from subspace_match.storage.files import sha256, write_record, write_signed, write_table
from subspace_match.storage.job_records import SUFFIX
from subspace_match.storage.match_files import LayerMatch, Resampled
from subspace_match.storage.network_results import HeatMap, HeatMapLayer, TopImages
from subspace_match.storage.result_origin import LayerOrigin, Origin

PROJECT = Path(__file__).parents[1]
POSITIONS = 30
# Runs before the script of the page: notes when the first figure is painted.
WATCH = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("#depth svg")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.firstFigure = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
# Milliseconds from the start of a frame until a change is drawn and laid out.
WORK = """
(values) => values.reduce(async (before, value) => {
  const times = await before;
  CHANGE
  const start = await new Promise(requestAnimationFrame);
  document.body.offsetHeight;
  times.push(performance.now() - start);
  return times;
}, [])
"""
SLIDE = """
  document.querySelector("#epsilon").value = value;
  document.querySelector("#epsilon").dispatchEvent(new Event("input"));
"""
SCROLL = """
  document.querySelector(".scroll").scrollTop = value;
"""


@dataclass
class Size:
    """The size of a run."""

    widths: list[int]
    seeds: int = 2
    draws: int = 1
    images: int = 0
    colours: int = 1
    samples: int = 10_000


SIZES = {
    "default": Size([32, 64, 128, 128, *[256] * 4, 128, 128], draws=4, images=1000),
    "ResNet-110": Size(
        [16] * 37 + [32] * 36 + [64] * 36, seeds=3, draws=16, images=10_000, colours=3
    ),
    "VGG-16": Size([4096, 4096], samples=50_000),
}


def run_of(size: Size, results: Path) -> Path:
    """Write the folder of a run of this size, with random numbers."""
    rng = np.random.default_rng(0)
    config = validated({"seeds": list(range(size.seeds))})
    pairs = list(combinations(range(size.seeds), 2))
    known = []
    for a, b in pairs:
        for depth, width in enumerate(size.widths):
            for draw in range(size.draws):
                critical = rng.beta(2, 3, (2, width))
                norm = rng.uniform(1, 50, (2, width))
                origin = LayerOrigin(
                    *("d", (f"n{a}", f"n{b}"), ("", ""), f"conv{depth + 1}"),
                    *(f"layer{depth}.relu", "conv", depth + 1, size.samples, draw),
                )
                match = LayerMatch(tuple(critical), tuple(norm), np.empty(0), origin)
                proofs = [Certificate(e, True, True, 0.01, None, 0.0) for e in GRID]
                result = LayerResult(pair_names(a, b), match, proofs)
                if draw == 0:
                    null = rng.beta(20, 2, (19, 2 * width))
                    measured = {
                        f"measure_{n}": (float(v), "") for n, v in enumerate(rng.random(10))
                    }
                    result = replace(result, null=Resampled(null, null), measures=measured)
                known.append(result)
            known[-1] = replace(known[-1], minimal={0.3: minimal_matches(critical, rng)})
    of_layers = tables.layer_tables(known)
    no_consensus = many_networks.consensus_table([], GRID)
    networks = {
        f"n{seed}": {"model": "base", "seed": seed, "stage": "last", "accuracy": 0.9}
        | {"checkpoint": "0" * 64}
        for seed in range(size.seeds)
    }
    made = {
        **of_layers,
        "summary": many_networks.with_consensus(of_layers["summary"], no_consensus),
        "heat_map": heat_map(size, pairs, rng),
        "top_images": top_images(size, list(networks), rng),
    }
    folder = results / "experiments" / "run"
    for name, table in made.items():
        write_table(table, folder / "tables" / f"{name}.parquet")
    write_table(tables.network_table(networks), folder / "tables" / "networks.csv")
    write_record(folder / "config.json", config)
    if size.images:
        path = "data/mnist_5k-0/images.safetensors"
        record = {"rule": "aggregate", "folder": "experiments/run", "inputs": {path: "0"}}
        record |= {"outputs": {"config.json": sha256(folder / "config.json")}, "code": {}}
        record |= {"differs": {}, "digests": {}, "runs": []}
        write_signed(folder / f"aggregate{SUFFIX}", record)
        images = pictures(size, rng)
        split = prepared.Split(images, np.arange(len(images)) % 10, np.arange(len(images)))
        about = {"name": "mnist_5k", "classes": 10, "mean": [0.5], "std": [0.5]}
        prepared.save(results / path, prepared.DataSet(split, split, about))
    return folder


GRID = [0.15, 0.2, 0.25, 0.3, 0.5]


def pair_names(a: int, b: int) -> PairNames:
    return PairNames("last", "base", a, "last", "base", b, "last")


def minimal_matches(critical: np.ndarray, rng: np.random.Generator) -> MinimalMatches:
    """Give every matched neuron a minimal match of its own, with two to a hundred neurons."""
    flat = critical.ravel()
    matched = np.flatnonzero(flat <= 0.3)
    distinct = np.zeros((len(matched), len(flat)), bool)
    for row, neuron in zip(distinct, matched, strict=True):
        row[rng.choice(matched, min(len(matched), int(rng.integers(2, 100))), replace=False)] = True
        row[neuron] = True
    match_of = np.full(len(flat), -1)
    match_of[matched] = np.arange(len(matched))
    return MinimalMatches(critical.shape[1], distinct, match_of)


def heat_map(size: Size, pairs: list[tuple[int, int]], rng: np.random.Generator) -> pd.DataFrame:
    layers = len(size.widths)
    listed = [HeatMapLayer(f"conv{depth + 1}", depth + 1, 10) for depth in range(layers)]
    maps = []
    for a, b in pairs:
        critical, cka = rng.random((layers, layers, 20)), rng.random((layers, layers))
        origin = Origin("d", (f"n{a}", f"n{b}"), ("", ""))
        maps.append((pair_names(a, b), HeatMap(origin, listed, listed, critical, cka)))
    return tables.heat_map_table(maps, GRID)


def top_images(size: Size, keys: list[str], rng: np.random.Generator) -> pd.DataFrame:
    if not size.images:
        return tables.top_image_table([])
    found = []
    for key in keys:
        layers = {
            f"conv{depth + 1}": (rng.integers(0, size.images, (width, 9)), rng.random((width, 9)))
            for depth, width in enumerate(size.widths)
        }
        found.append(TopImages(Origin("d", (key,), ("",)), 0.9, layers))
    return tables.top_image_table(found)


def pictures(size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return soft shapes with a little noise, which compress about as well as photographs."""
    coarse = rng.integers(0, 256, (size.images, size.colours, 8, 8)).astype(float)
    fine = coarse.repeat(4, axis=2).repeat(4, axis=3) + rng.normal(0, 12, (1, 1, 32, 32))
    return fine.clip(0, 255).astype(np.uint8)


def made(folder: Path, page: Path) -> tuple[float, float]:
    """Make a page; return elapsed seconds and processor seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "subspace_match.cli", "report", str(folder)]
    subprocess.run([*command, "--out", str(page)], check=True, cwd=PROJECT, env=os.environ)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used


def opened(browser: Browser, file: Path) -> dict[str, float]:
    """Open a page, move its slider and its table; return milliseconds."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script(WATCH)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def used() -> float:
        """Return the processor time of the page's main thread so far, in milliseconds."""
        metrics = session.send("Performance.getMetrics")["metrics"]
        return 1000 * {one["name"]: one["value"] for one in metrics}["TaskDuration"]

    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    first, of_first = page.evaluate("window.firstFigure"), used()
    positions = [round(0.05 + 0.9 * n / POSITIONS, 3) for n in range(POSITIONS)]
    slider = page.evaluate(WORK.replace("CHANGE", SLIDE), positions)
    of_slider = (used() - of_first) / POSITIONS
    scroll = page.evaluate(WORK.replace("CHANGE", SCROLL), [700 * n for n in range(POSITIONS)])
    page.close()
    return {
        "first figure, ms": first,
        "CPU": of_first,
        "slider, ms": statistics.median(slider),
        "largest": max(slider),
        "CPU, mean": of_slider,
        "table, ms": statistics.median(scroll),
    }


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium: apt-get install --no-install-recommends chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium)
        for name, size in SIZES.items():
            run = run_of(size, Path(folder, name))
            page = Path(folder, name, "report.html")
            seconds, used = made(run, page)
            figures = {"MB": page.stat().st_size / 1e6, "make, s": seconds, "CPU, s": used}
            figures |= opened(browser, page)
            print(name, *(f"{key} {value:.1f}" for key, value in figures.items()), sep="; ")
        browser.close()


if __name__ == "__main__":
    main()
