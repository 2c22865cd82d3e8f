"""Check and time everything that runs on a GPU: one table, and "N passed, M failed".

    python benchmarks/gpu.py            on the CUDA device, at most 6 minutes on an H100
    python benchmarks/gpu.py --cpu      the same code on a CPU, at small sizes
    python benchmarks/gpu.py times      tests, pairs, extraction, training or times alone

Needs torch, torchvision, NumPy, SciPy, Numba, threadpoolctl, lazy_loader, safetensors, pytest and
hypothesis; with pytest-xdist the tests run in parallel. Three parts:

1. The tests of the mathematics, of networks and of comparisons on the device; then generated
   pairs, whose matches must equal the CPU's and whose critical epsilons must differ by at most 1e-9
   (1e-8, the documented accuracy, where neurons are nearly dependent).
2. Extraction from the same weights on the CPU and on the device: the largest difference, relative
   to the layer's largest value, must be at most 1e-5. Training in float32 and in bfloat16: two
   epochs at once and a resumed training must give the same weights up to rounding.
3. Times, each the minimum of several, relative to a limit measured in the same run: matrix products
   in float64 and float32, copies from the host, and copies on the device.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/matching"))
import cases

import subspace_match as sm
from subspace_match.matching.backends import resolve_device
from subspace_match.matching.backends.torch_ import TorchDevice
from subspace_match.matching.epsilons import EPSILONS
from subspace_match.matching.null import null_neurons
from subspace_match.matching.peeling import peel
from subspace_match.matching.peeling.updates import SpanUpdates

ROOT = Path(__file__).parents[1]
BLOCK = SpanUpdates.BLOCK
WORKERS = min(16, os.cpu_count() or 1)
passed: list[bool] = []


def check(name: str, good: bool, found: str) -> None:
    passed.append(good)
    print(f"{'passed' if good else 'FAILED'}  {name}: {found}", flush=True)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Count an exception as a failed check, and go on."""
    start = time.perf_counter()
    try:
        yield
    except Exception:
        traceback.print_exc()
        check(name, False, "an exception, see above")
    print(f"        {name} took {time.perf_counter() - start:.0f} s", flush=True)


class Timer:
    """Times work on the device, by CUDA events on a GPU."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.cuda = device, device.type == "cuda"

    def seconds(self, work: Callable[[], object], repeats: int = 3) -> float:
        """Return the minimum time; a first call is not counted if there are several."""
        times = [self._once(work) for _ in range(repeats)]
        return min(times[1:] or times)

    def _once(self, work: Callable[[], object]) -> float:
        if not self.cuda:
            start = time.perf_counter()
            work()
            return time.perf_counter() - start
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    def peak(self) -> float:
        """Return the largest memory that the last timed work held on the GPU, in GB."""
        return torch.cuda.max_memory_allocated() / 1e9 if self.cuda else float("nan")


def print_row(name: str, *cells: str) -> None:
    print(f"{name:<52}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


# Part 1 ---------------------------------------------------------------------------------------


def run_tests(small: bool) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=8"]
    if importlib.util.find_spec("xdist"):
        command += ["-n", str(WORKERS)]
    if small:
        command += ["tests/matching/test_peeling.py", "-k", "torch"]
    else:
        # Tests without a device in their name use the GPU too: "auto" is the default.
        command += ["tests/matching", "tests/networks", "tests/comparison/test_devices.py"]
        command += ["-k", "cuda or test_match_laws"]
    with tempfile.TemporaryFile("w+") as output:
        try:
            tests = subprocess.run(command, cwd=ROOT, stdout=output, stderr=output, timeout=150)
            ended = f"exit status {tests.returncode}"
        except subprocess.TimeoutExpired:
            ended = "still running after 150 s"
        output.seek(0)
        lines = output.read().strip().splitlines() or [ended]
    good = ended == "exit status 0"
    print("\n".join(lines[-12 if good else -60 :]))
    check("tests", good, lines[-1] if good else ended)


def compare_pair(job: tuple[int, str]) -> tuple[str, bool, bool, float]:
    """Return the case, whether it is well-conditioned, whether matches agree, and the error."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", sm.FewSamplesWarning)  # many cases have few
    seed, name = job
    case = cases.CASES[seed % len(cases.CASES)]
    x, y = case(np.random.default_rng(seed))
    pairs = [sm.reduce(x, y, device=where) for where in ("cpu", TorchDevice(name))]
    on_cpu, on_device = (
        sm.match_path(pair, device=where)
        for pair, where in zip(pairs, ("cpu", TorchDevice(name)), strict=True)
    )
    same = True
    for epsilon in cases.EPSILONS:
        one, other = on_cpu.maximum_match(epsilon), on_device.maximum_match(epsilon)
        same &= np.array_equal(one.x, other.x) and np.array_equal(one.y, other.y)
    errors = np.abs(on_cpu.critical_epsilon - on_device.critical_epsilon)
    return case.__name__, pairs[0].well_conditioned, same, float(np.nanmax(errors, initial=0))


def compare_pairs(name: str, count: int) -> None:
    jobs = [(seed, name) for seed in range(count)]
    if name == "cpu":
        found = list(map(compare_pair, jobs))
    else:  # a forked process cannot use CUDA
        with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
            found = list(pool.map(compare_pair, jobs, chunksize=10))
    different = [case for case, _, same, _ in found if not same]
    check("equal matches", not different, f"{count - len(different)} of {count} pairs {different}")
    for well, limit in ((True, 1e-9), (False, 1e-8)):
        errors = [error for _, conditioned, _, error in found if conditioned == well]
        kind = "well-conditioned" if well else "nearly dependent"
        worst = max(errors)
        check(f"critical epsilons, {len(errors)} {kind} pairs", worst <= limit, f"{worst:.1e}")


# Part 2 ---------------------------------------------------------------------------------------


TRAINING = {
    **{"task": "classify", "epochs": 2, "epoch_steps": None, "batch_size": 128},
    **{"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    **{"weight_decay": 5e-4, "warmup_epochs": 0, "schedule": "cosine", "milestones": []},
    **{"crop_padding": 2, "flip": True, "noise": 0.0, "label_smoothing": 0.0},
    **{"amp": False, "compile": False},
}


def kinds_of_training(device: torch.device) -> list[bool]:
    """Return the values of ``amp`` to try: many CPUs emulate bfloat16, which takes minutes."""
    return [False, True] if device.type == "cuda" else [False]


def resnet(device: torch.device, width: float) -> nn.Module:
    from subspace_match.networks.architectures import build, initialise
    from subspace_match.networks.memory_order import move_to

    network = build("resnet18", width=width, hidden=[], channels=3, classes=10)
    initialise(network, 0)
    return move_to(network, device)


def vision_transformer(device: torch.device) -> nn.Module:
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    sizes = {"num_layers": 4, "num_heads": 4, "hidden_dim": 128, "mlp_dim": 512}
    return VisionTransformer(32, 4, num_classes=10, **sizes).to(device)


def random_images(count: int, device: torch.device) -> Any:
    from subspace_match.data.prepared import Split
    from subspace_match.networks.images import Images
    from subspace_match.networks.preprocessing import Preprocessing

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, count)
    pixels = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    split = Split(pixels, labels, np.arange(count))
    return Images.on_device(split, Preprocessing((0.5,) * 3, (0.25,) * 3), device)


def compare_extraction(device: torch.device, images: int, width: float) -> None:
    from subspace_match.networks.layered_network import LayeredNetwork

    makes: dict[str, Callable[[torch.device], nn.Module]] = {
        "ResNet-18": lambda where: resnet(where, width),
        "vision transformer": vision_transformer,
    }
    for name, make in makes.items():
        found: list[dict[str, torch.Tensor]] = []
        for where in (torch.device("cpu"), device):
            values: dict[str, torch.Tensor] = {}
            ((inputs, _),) = random_images(images, where).batches(images)
            layered = LayeredNetwork(make(where), inputs[:2])
            layered.run(inputs, lambda layer, got, v=values: v.update({layer.name: got.cpu()}))
            found.append(values)
        on_cpu, on_device = found
        worst = max(
            float((on_cpu[layer] - on_device[layer]).abs().max() / on_cpu[layer].abs().max())
            for layer in on_cpu
        )
        check(f"extraction, {name}, {len(on_cpu)} layers", worst <= 1e-5, f"{worst:.1e}")


def compare_resumed_training(device: torch.device, images: int, width: float) -> None:
    """Train two epochs, at once and resumed after the first; the weights must be the same."""
    from subspace_match.networks.stages import Stages
    from subspace_match.networks.training import train

    class StoppedError(Exception):
        pass

    def stop(_: object) -> None:
        raise StoppedError

    def trained(amp: bool, folder: Path, epoch_done: Callable[[Any], None]) -> nn.Module:
        network = resnet(device, width)
        train(
            *(network, random_images(images, device), random_images(images // 8, device)),
            TRAINING | {"amp": amp},
            seed=0,
            stages=Stages(folder / "stages", [], lambda path, _: path.touch()),
            resume_file=folder / "resume",
            identity="",
            step_done=lambda: None,
            epoch_done=epoch_done,
        )
        return network

    for amp in kinds_of_training(device):
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            at_once = trained(amp, Path(one), lambda _: None)
            with suppress(StoppedError):
                trained(amp, Path(other), stop)
            resumed = trained(amp, Path(other), lambda _: None)
        worst = max(
            float((a - b).detach().abs().max() / a.detach().abs().max())
            for a, b in zip(at_once.parameters(), resumed.parameters(), strict=True)
        )
        kind = "bfloat16" if amp else "float32"
        check(f"training in {kind}, resumed", worst <= 1e-4, f"weights differ by {worst:.1e}")


# Part 3 ---------------------------------------------------------------------------------------


def measure_limits(timer: Timer, size: int) -> dict[str, float]:
    """Return flop/s of products and bytes/s of copies."""
    device, limits = timer.device, {}
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        a, b = torch.randn(2, size, size, dtype=dtype, device=device)
        limits[name] = 2 * size**3 / timer.seconds(lambda a=a, b=b: a @ b, 5)
    host = torch.randn(size, size)
    there = torch.empty_like(host, device=device)
    limits["pageable"] = host.nbytes / timer.seconds(lambda: there.copy_(host), 5)
    pinned = host.pin_memory() if timer.cuda else host
    limits["pinned"] = host.nbytes / timer.seconds(lambda: there.copy_(pinned), 5)
    other = torch.empty_like(there)
    limits["device"] = 2 * there.nbytes / timer.seconds(lambda: other.copy_(there), 5)
    for name, value in limits.items():
        unit = "Tflop/s" if name.startswith("float") else "TB/s"
        print_row(f"limit: {name}", f"{value / 1e12:.3f} {unit}")
    return limits


def layers(neurons: int, samples: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two ReLU layers with shared features, float32 on the device."""
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    hidden = normal(samples, neurons // 2).relu_()
    sides = []
    for _ in range(2):
        side = hidden @ normal(neurons // 2, neurons) / (neurons / 4) ** 0.5
        for start in range(0, samples, 50_000):  # bounds the memory of the noise
            noise = normal(min(50_000, samples - start), neurons)
            side[start : start + 50_000] += 0.3 * noise
        sides.append(side.relu_())
    return sides[0], sides[1]


def time_reduction(timer: Timer, where: Any, limits: dict[str, float], sizes: Any) -> None:
    for neurons, samples in sizes:
        x, y = layers(neurons, samples, timer.device)
        taken = timer.seconds(lambda x=x, y=y: sm.reduce(x, y, device=where))
        floor = samples * (2 * neurons) ** 2 / limits["float64"]
        print_row(
            f"reduce {neurons} + {neurons}, {samples:,} samples",
            *(f"{taken:.3f} s", f"{taken / floor:.2f} x", f"{timer.peak():.1f} GB"),
        )
    half = timer.seconds(lambda: sm.reduce(x[: samples // 2], y[: samples // 2], device=where))
    passed_over = 2 * (taken - half)
    print_row("  of which for each sample", f"{passed_over:.3f} s", f"{passed_over / floor:.2f} x")
    host = [side.cpu().numpy() for side in layers(*sizes[-1], timer.device)]
    neurons, samples = sizes[-1]
    taken = timer.seconds(lambda: sm.reduce(*host, device=where), 2)
    floor = samples * (2 * neurons) ** 2 / limits["float64"]
    copy = sum(side.nbytes for side in host) / limits["pinned"]
    print_row(
        f"  the same from NumPy (copy alone {copy:.3f} s)",
        *(f"{taken:.3f} s", f"{taken / max(floor, copy):.2f} x", f"{timer.peak():.1f} GB"),
    )


def time_path(timer: Timer, where: Any, limits: dict[str, float], widths: Any) -> None:
    for neurons in widths:
        x, y = layers(neurons, max(8 * neurons, 10_000), timer.device)
        start = time.perf_counter()
        pair = sm.reduce(x, y, device=where)
        reduced = time.perf_counter() - start
        taken = timer.seconds(lambda pair=pair: sm.match_path(pair, device=where))
        path, peak = sm.match_path(pair, device=where), timer.peak()
        # Each block of removals reads and writes the matrix of the neurons that remain.
        left = range(2 * neurons, 0, -BLOCK)
        floor = sum(16 * width**2 for width in left) / limits["device"]
        print_row(
            f"path {neurons} + {neurons} (reduction {reduced:.2f} s)",
            *(f"{taken:.3f} s", f"{taken / floor:.2f} x", f"{peak:.1f} GB"),
        )
        proved = timer.seconds(lambda path=path: path.verify(EPSILONS, device=where), 2)
        print_row(f"  certificates of {len(EPSILONS)} epsilons", f"{proved:.3f} s")
        certificates = path.verify(EPSILONS, device=where)
        good = all(proof.sound and proof.complete for proof in certificates)
        check(f"matches of {neurons} + {neurons} are proved", good, f"{len(certificates)}")
        halves = sm.reduce_halves(x, y, device=where)
        repeats = 2 if neurons <= 2048 else 1  # wide layers take long, and narrow ones warmed up
        fitted = timer.seconds(lambda h=halves: sm.cross_fitted_path(h, device=where), repeats)
        print_row(
            "  cross-fitted path, relative to the path",
            f"{fitted:.3f} s",
            f"{fitted / taken:.2f} x",
        )
        if neurons <= 512:
            on_cpu = timer.seconds(lambda pair=pair: sm.match_path(pair, device="cpu"))
            print_row("  path on this machine's CPU", f"{on_cpu:.3f} s")


def count_synchronisations(where: TorchDevice, neurons: int) -> None:
    """Profile the removals of one pair: the host may wait for the GPU once per block."""
    x, y = layers(neurons, 8 * neurons, torch.device(where.name))
    pair = sm.reduce(x, y, device=where)
    sm.match_path(pair, device=where)  # warms up
    factor, width = where.array(pair.factor), pair.neurons_x
    sides = np.split(np.arange(len(factor)), [width])
    products = pair.unit_products_on(where)
    spans = peel.factor_spans(factor, *sides, where, independent=True, products=products)
    updates = peel.updates_for(spans, width, where)
    blocks = 2 * neurons // BLOCK // 2
    updates.remove_block()
    torch.cuda.synchronize()
    activities = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activities.CPU, activities.CUDA]) as profile:
        start = time.perf_counter()
        for _ in range(blocks):
            updates.remove_block()
        taken = time.perf_counter() - start
    waits = sum(
        event.count
        for event in profile.key_averages()
        if "Synchronize" in event.key and "cuda" in event.key
    )
    kernels = sum(
        event.count for event in profile.key_averages() if event.key == "cudaLaunchKernel"
    )
    check(
        "synchronisations per block of removals",
        waits <= blocks + 1,
        f"{waits / blocks:.2f} ({kernels / blocks / BLOCK:.1f} kernels per removal,"
        f" {taken / blocks / BLOCK * 1e6:.0f} us per removal while profiled)",
    )
    print(profile.key_averages().table(sort_by="self_cuda_time_total", row_limit=14))


def time_null(
    timer: Timer, where: Any, limits: dict[str, float], neurons: int, samples: int, count: int
) -> None:
    x, y = layers(neurons, samples, timer.device)
    pair = sm.reduce(x, y, device=where)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(samples) for _ in range(count)]
    taken = timer.seconds(lambda: list(null_neurons(pair, x, y, orders, device=where)))
    floor = count * 2 * samples * neurons**2 / limits["float64"]
    print_row(
        f"null {neurons} + {neurons}, {samples:,} samples, {count} permutations",
        *(f"{taken:.2f} s", f"{taken / floor:.1f} x", f"{timer.peak():.1f} GB"),
    )


def time_minimal_matches(where: Any, neurons: int) -> None:
    x, y = layers(neurons, 8 * neurons, torch.device(where.name))
    path = sm.match_path(sm.reduce(x, y, device=where), device=where)
    # Half of the neurons match; none is exactly at epsilon, of which a warning would tell.
    epsilon = float(np.nanmedian(path.critical_epsilon)) + 1e-6
    found = sm.minimal_matches(path, epsilon)  # compiles
    start = time.perf_counter()
    sm.minimal_matches(path, epsilon)
    taken = time.perf_counter() - start
    print_row(
        f"{len(found)} minimal matches of {neurons} + {neurons}, on the CPU", f"{taken:.2f} s"
    )


def time_networks(timer: Timer, images: int, width: float) -> None:
    """Time extraction and an epoch of training, relative to plain loops over the same batches."""
    from subspace_match.networks.extraction import extract
    from subspace_match.networks.layered_network import LayeredNetwork
    from subspace_match.networks.repeatability import strict_float32
    from subspace_match.networks.sampling import draw_samples
    from subspace_match.networks.training import _one_epoch

    network, data = resnet(timer.device, width), random_images(images, timer.device)
    layered = LayeredNetwork(network, data.evenly_spaced(2))
    drawn = {layer.name: draw_samples(layer, images, 10_000, 1, 0) for layer in layered.layers}

    def plain() -> None:
        network.eval()
        # Extraction does not use TF32, which is several times as fast.
        with torch.inference_mode(), strict_float32(timer.device):
            for inputs, _ in data.batches(250):
                network(inputs)

    def recorded() -> None:
        extract(
            *(layered, data, [(drawn, lambda *_: None)]),
            task="classify",
            batch_size=250,
            batch_done=lambda: None,
        )

    forward, whole = timer.seconds(plain), timer.seconds(recorded)
    print_row(
        f"extraction, ResNet-18, {images:,} images of 32 x 32",
        *(f"{whole:.3f} s", f"{whole / forward:.2f} x", f"{timer.peak():.1f} GB"),
    )
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, fused=True)
    for amp in kinds_of_training(timer.device):
        settings = TRAINING | {"amp": amp, "epochs": 1}

        def plain_training(amp: bool = amp) -> None:
            network.train()
            for inputs, labels in data.batches(TRAINING["batch_size"]):
                optimiser.zero_grad()
                with torch.autocast(timer.device.type, torch.bfloat16, enabled=amp):
                    output = network(inputs)
                nn.functional.cross_entropy(output.float(), labels).backward()
                optimiser.step()

        def training(settings: dict[str, Any] = settings) -> None:
            _one_epoch(network, optimiser, data, settings, 0, 0, lambda: None)

        loop, epoch = timer.seconds(plain_training), timer.seconds(training)
        print_row(
            f"an epoch of training in {'bfloat16' if amp else 'float32'}",
            *(f"{epoch:.3f} s", f"{epoch / loop:.2f} x", f"{timer.peak():.1f} GB"),
        )


def time_everything(timer: Timer, where: TorchDevice, small: bool, width: float) -> None:
    print_row("", "time", "over limit", "peak memory")
    limits = measure_limits(timer, 512 if small else 8192)
    sizes = [(512, 50_000), (2048, 50_000), (512, 1_000_000), (2048, 1_000_000), (4096, 50_000)]
    with part("reduction"):
        time_reduction(timer, where, limits, [(32, 1000)] if small else sizes)
    with part("paths and certificates"):
        time_path(timer, where, limits, [64] if small else [512, 2048, 4096])
    with part("null"):
        time_null(timer, where, limits, *((32, 500, 5) if small else (512, 10_000, 199)))
    with part("minimal matches"):
        time_minimal_matches(where, 32 if small else 512)
    with part("networks"):
        time_networks(timer, 50 if small else 10_000, width)
    if timer.cuda:
        with part("profile"):
            count_synchronisations(where, 512)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", action="store_true", help="run on the CPU, at small sizes")
    parser.add_argument("parts", nargs="*", help="tests, pairs, extraction, training or times")
    options = parser.parse_args()
    small = options.cpu
    where = TorchDevice("cpu") if small else resolve_device("cuda")
    device = torch.device(where.name)
    width = 0.125 if small else 1.0
    name = platform.processor() if small else torch.cuda.get_device_name()
    torch.backends.cudnn.deterministic = True  # so that a resumed training can be compared
    print(f"{name}; torch {torch.__version__}, CUDA {torch.version.cuda}, {os.cpu_count()} cores")
    parts: dict[str, Callable[[], None]] = {
        "tests": lambda: run_tests(small),
        "pairs": lambda: compare_pairs(where.name, 40 if small else 2000),
        "extraction": lambda: compare_extraction(device, 4 if small else 64, width),
        "training": lambda: compare_resumed_training(device, 256 if small else 2048, width),
        "times": lambda: time_everything(Timer(device), where, small, width),
    }
    for chosen in options.parts or parts:
        with part(chosen):
            parts[chosen]()
    failed = passed.count(False)
    print(f"{passed.count(True)} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
