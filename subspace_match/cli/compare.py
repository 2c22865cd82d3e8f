"""``subspace-match compare``: compare two models, by name or file, on a folder of images."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..extras import needs

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from ..networks.images import Images
    from ..networks.preprocessing import Preprocessing

EPILOG = """examples:
  subspace-match compare torchvision:resnet18 torchvision:resnet34 --data photos
  subspace-match compare timm:vit_tiny_patch16_224 timm:mixer_b16_224 --data photos \\
      --weights-a augreg_in21k_ft_in1k --weights-b goog_in21k_ft_in1k --nodes block
  subspace-match compare results/networks/KEY/seed_0/last.safetensors my.models:net \\
      --weights-b mine.pt --data photos --null 19 --out results

A model is torchvision:NAME, timm:NAME, transformers:FOLDER, a callable package.module:name, or a
file of the pipeline's networks. --weights-a and --weights-b name published weights or a file;
"untrained" draws new ones, of A by --seed and of B by --seed + 1. Without them torchvision's
default weights and those in a folder of transformers are used. Nothing is downloaded: if
torchvision's weights are missing, the error has the command that fetches them.

Each model gets every image of the folder and its subfolders (so --out must be outside), resized
and cropped as its own preprocessing says. For models without a known one give --size; --mean and
--std are ImageNet's if not given (0 and 1 leave pixels from 0 to 1). One number each, as in
--mean 0.5 --std 0.5, reads the images in grey, for models of one channel.

If all images are in folders of --data, as in photos/cat/1.jpg, these folders are their classes (the
next ones, if these are train, test or val). --null then also permutes images within classes, and
models with one output for each class get an accuracy. The line "Labels" names them, or says why
there are none. Hidden files and folders are left out, and links to folders are followed.

The table has one row per pair of layers with the same name, kind and map size, or as --layers says:
  similarity               share of both layers' neurons in the maximum match at --epsilon
  cross_fitted             the same, corrected for few images; NaN if there are too few for that
  null_threshold, p_value  with --null: what chance alone reaches (p <= 0.05 above it), and p
  class_null_threshold, class_p_value
                           with --null and classes: the same for what labels alone explain
  linear_cka               another measure, which weighs directions by their variance
  median_critical_epsilon  the epsilon at which half of the neurons match
  few_samples              whether images are so few that some of the match is chance
"""
UNTRAINED = "untrained"
HEAT_MAP = 4000  # samples; only files show it
COUNTS = {1: "one number", 3: "three numbers"}  # for each channel
BYTES = "of pixels from 0 to 1 (divide by 255 what was meant for bytes)"
MOST_SEED = 2**32 - 1  # as in a configuration; torch takes no seeds of any size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the two models and the options."""
    parser.add_argument("a", help="model A")
    parser.add_argument("b", help="model B")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder of image files"
    )
    for side in "ab":
        parser.add_argument(
            f"--weights-{side}", metavar="W", help=f"weights of model {side.upper()}"
        )
    parser.add_argument(
        "--nodes", nargs="+", default=["auto"], metavar="N", help="what is a layer (default: auto)"
    )
    parser.add_argument(
        "--layers", nargs="+", metavar="L", help="to compare: NAME, a pattern, or NAME_A~NAME_B"
    )
    parser.add_argument(
        "--epsilon", type=float, default=0.3, metavar="E", help="of the table (default: 0.3)"
    )
    parser.add_argument(
        "--positions",
        type=int,
        default=10_000,
        metavar="N",
        help="samples of a map (default: 10000)",
    )
    parser.add_argument(
        "--null", type=int, default=0, metavar="K", help="permute B's images K times for p-values"
    )
    parser.add_argument("--size", type=int, help="height and width of the images, in pixels")
    for name in ("mean", "std"):
        help_text = "of each channel, of pixels from 0 to 1 (default: ImageNet's)"
        parser.add_argument(f"--{name}", nargs="+", type=float, metavar="V", help=help_text)
    parser.add_argument(
        "--batch", type=int, default=64, metavar="N", help="images at a time (default: 64)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of samples, permutations and weights")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write tables, figures and matches")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write one HTML page")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")


def run(options: argparse.Namespace) -> None:
    """Compare the models, print a table and write files.

    Raises:
        ValueError: if an option, a model or an image is not valid.
    """
    with needs("torch", "compare"):
        import torch
    with needs("plots", "compare"):
        import pandas  # noqa: F401  # the table needs it, after all the work

    from ..comparison.batches import KnownInputs
    from ..comparison.result import short_table
    from ..comparison.run import compare
    from ..matching.device_names import device_name
    from ..matching.validation import FewSamplesWarning
    from ..results.findings import closing_lines
    from .image_folder import classes_of, image_files
    from .layers import nodes_of

    _check(options)
    device = torch.device(device_name(options.device))
    files = image_files(options.data)
    models: list[nn.Module] = []
    images: list[Images] = []
    for number, (side, name) in enumerate((("a", options.a), ("b", options.b))):
        with _naming_options(side, options):
            weights = getattr(options, f"weights_{side}")
            # One seed for both would compare an untrained network with itself.
            model, preprocessing = _model(name, weights, options, device, options.seed + number)
        models.append(model)
        images.append(_images(options.data, files, preprocessing, device))

    classes, about = classes_of(files)

    def batches() -> Iterator[tuple[tuple[Tensor, Tensor], np.ndarray | None]]:
        both, start = zip(*(own.batches(options.batch) for own in images), strict=True), 0
        for (a, _), (b, _) in both:
            yield (a, b), None if classes is None else classes[start : start + len(a)]
            start += len(a)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewSamplesWarning)  # the table reports it
        result = compare(
            models[0],
            models[1],
            KnownInputs(batches(), len(images[0]), classes, about),
            nodes=nodes_of(options.nodes),
            layers=options.layers and [_layer(layer) for layer in options.layers],
            positions=options.positions,
            permutations=options.null,
            inputs_a=lambda batch: batch[0][0],
            inputs_b=lambda batch: batch[0][1],
            seed=options.seed,
            heat_map=HEAT_MAP if options.out or options.page else 0,
            device=device.type,
        )
    sys.stdout.write(f"{short_table(result.similarity(options.epsilon))}\n")
    if options.out is not None:
        result.save(options.out)
    if options.page is not None:
        result.report(options.page)
    names = ("summary", "similarity", "measures", "networks")
    tables = {name: result.to_frame(name, options.epsilon) for name in names}
    lines = closing_lines(tables, options.page, options.out, result.about_labels())
    sys.stdout.write("\n".join(["", *lines, ""]))


def _check(options: argparse.Namespace) -> None:
    """Refuse what would fail after the models ran."""
    from ..comparison.arguments import check_counts
    from ..matching.permutation_counts import check_permutations
    from ..matching.validation import as_epsilons
    from ..storage.outputs import check_file, check_folder
    from .image_folder import is_inside

    check_permutations("--null", options.null)
    least = {"positions": 1, "batch": 1, "seed": 0}
    check_counts({f"--{name}": (getattr(options, name), own) for name, own in least.items()})
    if options.seed > MOST_SEED:
        raise ValueError(f"--seed: expected at most {MOST_SEED}, found {options.seed}")
    as_epsilons(options.epsilon)
    _given(options)
    if options.out is not None:
        check_folder("--out", options.out)
        if is_inside(options.out / "figures", options.data):
            raise ValueError(
                f"--out: expected a folder outside of --data, all of whose images are compared,"
                f" found {options.out} in {options.data}; else the next run would read this one's"
                " figures"
            )
        with needs("plots", "--out"):
            import pyarrow  # noqa: F401  # pandas imports it only to write

            from ..comparison import saving  # noqa: F401
    if options.page is not None:
        check_file("--page", options.page)
        if options.out is not None and is_inside(options.out, options.page):
            raise ValueError(
                f"--page: expected another place than that of --out, found {options.page}; name a"
                f" file, such as {options.page / 'page.html'}"
            )
        with needs("workflow", "--page"):
            import vl_convert  # noqa: F401

            from ..report import page  # noqa: F401


@contextmanager
def _naming_options(side: str, options: argparse.Namespace) -> Iterator[None]:
    """Name the options of this command in errors, where others name the configuration's keys."""
    from ..networks.layered_network import INPUT_REFUSED

    try:
        yield
    except ValueError as error:
        text = str(error)
        for key, option in (
            ("network.weights", f"--weights-{side}"),
            ("network.mean, network.std", "--size, --mean and --std"),
            ("network.name", f"model {side.upper()}"),
        ):
            text = text.replace(key, option)
        if INPUT_REFUSED in text:
            text += (
                "; give it other images by --size, or grey ones by one number for --mean and --std"
            )
        if text.startswith("--weights") and getattr(options, f"weights_{side}") is None:
            text += f"; or draw new weights with --weights-{side} {UNTRAINED}"
        raise ValueError(text) from error


def _layer(text: str) -> str | tuple[str, str]:
    a, tilde, b = text.partition("~")
    return (a, b) if tilde else text


def _model(
    name: str, weights: str | None, options: argparse.Namespace, device: torch.device, seed: int
) -> tuple[nn.Module, Preprocessing]:
    """Load a model, and what to do with images for it; ``seed`` decides untrained weights."""
    from ..networks.architectures import build_initialised
    from ..networks.checkpoints import load_network
    from ..networks.memory_order import move_to
    from ..networks.pretrained import load_pretrained, resolve_pretrained
    from ..networks.source_names import PUBLISHED, TORCHVISION, model_folder
    from ..networks.task_check import check_saved, varied_batch

    if Path(name).is_file():
        if weights is not None:
            raise ValueError(f"{name}: expected no --weights for a checkpoint, found {weights!r}")
        network, known = load_network(name, device)
        return network, _given(options) or known
    if ":" not in name:
        raise ValueError(
            f"{name}: expected torchvision:NAME, timm:NAME, transformers:FOLDER,"
            " package.module:name, or a file of the pipeline's networks, such as last.safetensors;"
            " found none of these"
        )
    given = _given(options)
    channels = 3 if given is None else len(given.mean)
    sizes = {"width": 1.0, "hidden": [], "channels": channels, "classes": 1000, "options": {}}
    architecture: dict[str, Any] = {"name": name} | sizes
    if weights is None:
        if name.startswith(TORCHVISION):
            weights = "DEFAULT"
        elif model_folder(name) is not None:
            weights = PUBLISHED
        else:
            raise ValueError(
                f"network.weights: expected published weights of {name}, or a file of weights,"
                " found none"
            )
    if weights != UNTRAINED:
        loaded = load_pretrained(architecture, weights, given)
        size = loaded.preprocessing.crop or 0
        inputs = varied_batch((channels, size, size), tokens=0)
        check_saved(loaded.network, loaded.architecture, inputs)
        return move_to(loaded.network, device), loaded.preprocessing
    if name.startswith(TORCHVISION):
        _, known = resolve_pretrained(architecture, "DEFAULT", given)
    elif given is None:
        raise ValueError(f"{name}: expected --size for a model whose images' size is not known")
    else:
        known = given
    return move_to(build_initialised(architecture, seed).eval(), device), known


def _given(options: argparse.Namespace) -> Preprocessing | None:
    """Return the preprocessing that the options set, if any; ImageNet's mean and deviation."""
    from ..networks.preprocessing import Preprocessing

    if options.size is None:
        if options.mean or options.std:
            raise ValueError("--mean, --std: expected --size too, found none")
        return None
    mean, std = options.mean or (0.485, 0.456, 0.406), options.std or (0.229, 0.224, 0.225)
    if options.size < 1:
        raise ValueError(f"--size: expected a whole number of at least 1, found {options.size}")
    if len(mean) not in (1, 3) or not all(0 <= value <= 1 for value in mean):
        raise ValueError(
            f"--mean: expected three numbers from 0 to 1, or one for images in grey, {BYTES}, found"
            f" {list(mean)}"
        )
    if len(std) != len(mean) or not all(0 < value <= 1 for value in std):
        raise ValueError(
            f"--std: expected {COUNTS[len(mean)]} above 0, at most 1, as --mean has, {BYTES}, found"
            f" {list(std)}"
        )
    return Preprocessing(tuple(mean), tuple(std), options.size, options.size)


def _images(
    folder: Path, files: Sequence[str], preprocessing: Preprocessing, device: torch.device
) -> Images:
    """Return a folder's images as a model gets them."""
    import numpy as np

    from ..data.prepared import FileSplit
    from ..networks.images import Images

    if preprocessing.crop is None:
        raise ValueError(
            "--size: expected the height and width of the images for a network that was trained on"
            " images of one size, found none"
        )
    zeros, channels = np.zeros(len(files), np.int64), len(preprocessing.mean)
    split = FileSplit(tuple(files), zeros, np.arange(len(files)), folder, channels)
    workers = min(4, (os.cpu_count() or 1) // 2)
    return Images.on_device(split, preprocessing, device, workers=workers)
