"""Network + test images -> stores with the activations of every layer, from one forward pass."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from subspace_match.workflow.job import log, run, show_progress


def extract(snakemake: Any, numbers: Sequence[int]) -> None:
    import torch
    from tqdm import tqdm

    from subspace_match import __version__
    from subspace_match.data.prepared import load
    from subspace_match.matching.device_names import device_name
    from subspace_match.networks.checkpoints import load_network
    from subspace_match.networks.extraction import extract
    from subspace_match.networks.layer_info import LayerInfo, check_planned
    from subspace_match.networks.layered_network import LayeredNetwork
    from subspace_match.networks.split_items import items_on_device
    from subspace_match.storage.activations import new_store
    from subspace_match.storage.files import damaged, read_record, sha256

    paths, config = snakemake.input, snakemake.config
    wanted = [(snakemake.output.stores[n], snakemake.params.each[n]) for n in numbers]
    # The samplings differ in nothing that concerns the forward pass.
    settings = wanted[0][1]["extraction"]
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

    layers = layered.layers
    planned = [LayerInfo(**layer) for layer in snakemake.params.planned]
    check_planned(layers, planned, paths.network)
    with ExitStack() as stack:
        stores, recordings = [], []
        for path, sampling in wanted:
            drawn = _draw(sampling, layers, len(inputs), data.test.labels)
            entries = [
                asdict(layer)
                | {"depth": depth, "draws": len(own := drawn[layer.name]), "samples": len(own[0])}
                for depth, layer in enumerate(layers, start=1)
            ]
            about = {
                "digest": sampling["digest"],
                "network": snakemake.wildcards.network,
                "checkpoint": record["sha256"],
                "images": "test split",
                "data": data.about,
                "extraction": sampling["extraction"] | sampling.get("heat_map", {}),
                "version": __version__,
            }
            store = stack.enter_context(new_store(path, about, entries))
            stores.append(store)
            recordings.append((drawn, store.append))
            if data.test.labels is not None:
                store.labels(data.test.labels)
            for name, indices in drawn.items():
                for draw, index in enumerate(indices):
                    store.samples(name, draw, index)
        bar = stack.enter_context(
            tqdm(
                total=-(-len(inputs) // settings["batch_size"]),
                desc=f"seed {record['seed']} {record['stage']}",
                unit="batch",
                disable=not show_progress(),
            )
        )
        performance = extract(
            layered,
            inputs,
            recordings,
            task=snakemake.params.task,
            batch_size=settings["batch_size"],
            batch_done=bar.update,
        )
        for store in stores:
            if performance is None:
                store.add_attributes(accuracy=None, loss=None)
                continue
            store.add_attributes(accuracy=performance.accuracy, loss=performance.loss)
            if performance.predictions is not None:
                store.predictions(performance.predictions)
        # Long work ends here, so that all get their names, and then their records, in one moment: a
        # store whose job ends in between has no record, and someone must remove it.
        for store in stores:
            store.close()
    log.info("on the test split: %s", performance or "no scores for the task")


def _draw(
    sampling: Mapping[str, Any], layers: Sequence[Any], inputs: int, labels: Any
) -> dict[str, list[Any]]:
    """Return the samples of every draw by layer, and say where they are unexpected."""
    from subspace_match.networks.sampling import draw_samples, draw_shared_positions

    if (heat_map := sampling.get("heat_map")) is not None:
        drawn = draw_shared_positions(layers, inputs, heat_map["positions"], heat_map["seed"])
        if {"conv", "tokens"} <= {layer.kind for layer in layers}:
            message = "heat map: samples of maps and of tokens share the input, but not the place"
            log.warning(message)
        return {name: [index] for name, index in drawn.items()}
    settings = sampling["extraction"]
    most, draws, seed = (settings[key] for key in ("positions", "draws", "position_seed"))
    samples = {
        layer.name: draw_samples(layer, inputs, most, draws, seed, labels) for layer in layers
    }
    for layer in layers:
        if layer.kind != "fc" and (count := len(samples[layer.name][0])) < most:
            message = "%s has %d positions, fewer than extraction.positions (%d)"
            log.info(message, layer.name, count, most)
    return samples


run(extract, snakemake)  # type: ignore[name-defined]
