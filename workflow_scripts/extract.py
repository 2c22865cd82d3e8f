"""Network + test images -> a store with the activations of every layer."""

from dataclasses import asdict
from typing import Any

from subspace_match.workflow.job import log, run, show_progress


def extract(snakemake: Any) -> None:
    import torch
    from tqdm import tqdm

    from subspace_match import __version__
    from subspace_match.data.prepared import load
    from subspace_match.matching.device_names import device_name
    from subspace_match.networks.checkpoints import load_network
    from subspace_match.networks.extraction import extract
    from subspace_match.networks.layer_info import check_planned
    from subspace_match.networks.layered_network import LayeredNetwork
    from subspace_match.networks.sampling import draw_samples, draw_shared_positions
    from subspace_match.networks.split_items import items_on_device
    from subspace_match.storage.activations import new_store
    from subspace_match.storage.files import damaged, read_record, sha256

    settings, paths, config = snakemake.params.extraction, snakemake.input, snakemake.config
    record = read_record(paths.record)
    if (found := sha256(paths.network)) != record["sha256"]:
        raise damaged(paths.network, f"SHA-256 {found} instead of {record['sha256']}")
    data = load(paths.images, config["data"]["root"])
    device = torch.device(device_name(config["device"]))
    log.info("extracting on %s", device)
    network, preprocessing = load_network(paths.network, device)
    workers = config["data"]["workers"]
    inputs = items_on_device(data.test, preprocessing, device, workers=workers)
    reached = {key: settings[key] for key in ("nodes", "neuron_axis", "tokens")}
    layered = LayeredNetwork(network, inputs.evenly_spaced(2), **reached)
    for note in layered.notes:
        log.info("%s", note)

    layers, heat_map = layered.layers, snakemake.params.get("heat_map")
    check_planned(layers, snakemake.params.planned, paths.network)
    if heat_map is None:
        samples = {
            layer.name: draw_samples(
                layer,
                len(inputs),
                settings["positions"],
                settings["draws"],
                settings["position_seed"],
                data.test.labels,
            )
            for layer in layers
        }
    else:
        drawn = draw_shared_positions(layers, len(inputs), heat_map["positions"], heat_map["seed"])
        samples = {name: [index] for name, index in drawn.items()}
        if {"conv", "tokens"} <= {layer.kind for layer in layers}:
            message = "heat map: samples of maps and of tokens share the input, but not the place"
            log.warning(message)
    entries = []
    for depth, layer in enumerate(layers, start=1):
        draws, count = len(samples[layer.name]), len(samples[layer.name][0])
        entries.append(asdict(layer) | {"depth": depth, "draws": draws, "samples": count})
        if heat_map is None and layer.kind != "fc" and count < (most := settings["positions"]):
            message = "%s has %d positions, fewer than extraction.positions (%d)"
            log.info(message, layer.name, count, most)
    about = {
        "digest": snakemake.params.digest,
        "network": snakemake.wildcards.network,
        "checkpoint": record["sha256"],
        "images": "test split",
        "data": data.about,
        "extraction": settings if heat_map is None else settings | heat_map,
        "version": __version__,
    }
    with (
        new_store(snakemake.output.store, about, entries) as store,
        tqdm(
            total=-(-len(inputs) // settings["batch_size"]),
            desc=f"seed {record['seed']} {record['stage']}",
            unit="batch",
            disable=not show_progress(),
        ) as bar,
    ):
        if data.test.labels is not None:
            store.labels(data.test.labels)
        for name, indices in samples.items():
            for draw, index in enumerate(indices):
                store.samples(name, draw, index)
        performance = extract(
            layered,
            inputs,
            samples,
            task=snakemake.params.task,
            batch_size=settings["batch_size"],
            sink=store.append,
            batch_done=bar.update,
        )
        accuracy, loss = (
            (None, None) if performance is None else (performance.accuracy, performance.loss)
        )
        store.add_attributes(accuracy=accuracy, loss=loss)
        if performance is not None and performance.predictions is not None:
            store.predictions(performance.predictions)
    log.info("on the test split: %s", performance or "no scores for the task")


run(extract, snakemake)  # type: ignore[name-defined]
