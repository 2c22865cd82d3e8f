"""Data set + seed -> a checkpoint per stage, and the results of each epoch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from subspace_match.workflow.job import log, run, show_progress


def train(snakemake: Any) -> Callable[[], None]:
    import shutil

    import pandas as pd
    import torch
    from torch import nn
    from tqdm import tqdm

    from subspace_match.data.prepared import load
    from subspace_match.matching.device_names import device_name
    from subspace_match.networks import training
    from subspace_match.networks.architectures import (
        architecture_of,
        build_initialised,
        self_contained,
        transfer_weights,
    )
    from subspace_match.networks.checkpoints import load_network, save_network, write_network_record
    from subspace_match.networks.freed_memory import keep_freed_memory
    from subspace_match.networks.memory_order import move_to
    from subspace_match.networks.preprocessing import trained_preprocessing
    from subspace_match.networks.split_items import items_on_device
    from subspace_match.networks.stages import Epoch, Stages, best_epoch
    from subspace_match.storage.files import sha256, write_table

    keep_freed_memory()
    params, paths, output = snakemake.params, snakemake.input, snakemake.output
    settings, model = params.training, snakemake.wildcards.model
    seed = int(snakemake.wildcards.seed)
    device = torch.device(device_name(snakemake.config["device"]))
    how = ", bfloat16" * settings["amp"] + ", compiled" * settings["compile"]
    log.info("training on %s%s", device, how)
    data = load(paths.images, params.data["root"])
    start, preprocessing = None, trained_preprocessing(data.about)
    if paths.start:
        start, preprocessing = load_network(paths.start[0], torch.device("cpu"))
    train_items, test_items = (
        items_on_device(part, preprocessing, device, workers=params.data["workers"])
        for part in (data.train, data.test)
    )
    architecture = self_contained(
        architecture_of(
            params.network, channels=len(preprocessing.mean), classes=data.about["classes"]
        )
    )
    if start is None:
        network = build_initialised(architecture, seed)
    else:
        network, new = transfer_weights(start, architecture, seed)
        if new:
            log.info("new tensors, not from %s: %s", paths.start[0], ", ".join(new))
    move_to(network, device)

    few = test_items.evenly_spaced(2)

    def save(path: Path, network: nn.Module) -> None:
        training.check_checkpoint_is_whole(network, architecture, few)
        save_network(path, network, architecture, preprocessing)

    folder = Path(output.history).parent
    stages = Stages(folder / "stages.partial", params.epochs, save, settings["task"])
    steps = training.steps_per_epoch(len(train_items), settings)
    # The model's key stands for the configuration and code, the seed for all that is drawn. The
    # checksums add the network to fine-tune and the data.
    identity = "-".join([model, str(seed), *map(sha256, [*paths.start, paths.images])])
    resume_file = folder / "resume.safetensors"
    if resume_file.exists():
        log.info("found the file of an interrupted training, %s", resume_file)
    with tqdm(
        total=settings["epochs"] * steps,
        desc=f"seed {seed}",
        unit="step",
        disable=not show_progress(),
    ) as bar:

        def after_epoch(epoch: Epoch) -> None:
            bar.n = epoch.epoch * steps
            bar.set_postfix(
                loss=f"{epoch.train_loss:.3f}",
                train=f"{epoch.train_accuracy:.1%}",
                test=f"{epoch.test_accuracy:.1%}",
                test_loss=f"{epoch.test_loss:.3f}",
            )
            log.info("%s", epoch)

        history = training.train(
            network,
            train_items,
            test_items,
            settings,
            seed=seed,
            stages=stages,
            resume_file=resume_file,
            identity=identity,
            step_done=bar.update,
            epoch_done=after_epoch,
        )

    for path, record in zip(map(Path, output.networks), output.records, strict=True):
        epoch = {"best": best_epoch(history, settings["task"]), "last": history[-1]}.get(path.stem)
        if epoch is None:
            epoch = history[int(path.stem.removeprefix("epoch_")) - 1]
        # A copy: if the job is killed from here on, all files needed to resume still exist.
        stages.copy(path.stem, history, path)
        write_network_record(
            record,
            path,
            digest=model,
            seed=seed,
            stage=path.stem,
            epoch=epoch.epoch,
            test_accuracy=epoch.test_accuracy,
            test_loss=epoch.test_loss,
            trained_on=list(dict.fromkeys(one.trained_on for one in history[: epoch.epoch])),
            architecture=architecture,
            training=settings,
        )
    write_table(pd.DataFrame(history), output.history)

    def tidy_up() -> None:
        resume_file.unlink(missing_ok=True)
        shutil.rmtree(stages.folder)

    return tidy_up


run(train, snakemake)  # type: ignore[name-defined]
