"""Data set + architecture + seed -> a trained network, its accuracy and the course of training."""

from pathlib import Path
from typing import Any

from subspace_match.jobs import log, run, show_progress


def train(snakemake: Any) -> None:
    import pandas as pd
    import torch
    from tqdm import tqdm

    from subspace_match import __version__, datasets
    from subspace_match.artefacts import sha256, write_record, write_table
    from subspace_match.matching.devices import resolve_device
    from subspace_match.networks import training
    from subspace_match.networks.architectures import build, initialise
    from subspace_match.networks.images import Images
    from subspace_match.networks.weights import save_network

    settings, seed = snakemake.params.training, snakemake.params.seed
    data = datasets.load(snakemake.input.images)
    device = resolve_device(snakemake.config["device"])
    log.info("training on %s", device)
    images = Images.on_device(data.train, data.about, device)
    test = Images.on_device(data.test, data.about, device)

    source = datasets.SOURCES[data.about["name"]]
    architecture = snakemake.params.network | {
        "channels": source.channels,
        "classes": source.classes,
    }
    network = build(**architecture)
    initialise(network, seed)
    network.to(memory_format=torch.channels_last).to(device)

    steps = training.steps_an_epoch(len(images.labels), settings["batch_size"])
    # A checkpoint is of this configuration (its path says so) and of this code.
    identity = "-".join([snakemake.params.digest, *map(sha256, snakemake.input.code)])
    checkpoint = Path(snakemake.output.network).with_name("resume.safetensors")
    if checkpoint.exists():
        log.info("resuming from %s", checkpoint)
    with tqdm(
        total=settings["epochs"] * steps,
        desc=f"seed {seed}",
        unit="step",
        position=snakemake.config["seeds"].index(seed),
        disable=not show_progress(),
    ) as bar:

        def after_epoch(epoch: training.Epoch) -> None:
            bar.n = epoch.epoch * steps
            bar.set_postfix(
                loss=f"{epoch.train_loss:.3f}",
                train=f"{epoch.train_accuracy:.1%}",
                test=f"{epoch.test_accuracy:.1%}",
            )
            log.info("%s", epoch)

        history = training.train(
            network,
            images,
            test,
            settings,
            seed=seed,
            checkpoint=checkpoint,
            identity=identity,
            progress=training.Progress(step=bar.update, epoch=after_epoch),
        )

    save_network(snakemake.output.network, network, architecture)
    write_table(pd.DataFrame(history), snakemake.output.history)
    record = {
        "digest": snakemake.params.digest,
        "seed": seed,
        "test_accuracy": history[-1].test_accuracy,
        "sha256": sha256(snakemake.output.network),
        "device": str(device),
        "version": __version__,
        "torch": str(torch.__version__),
        "architecture": architecture,
        "training": settings,
    }
    write_record(snakemake.output.record, record)
    checkpoint.unlink(missing_ok=True)


run(train, snakemake)  # type: ignore[name-defined]
