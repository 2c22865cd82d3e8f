"""A trained network + the evaluation images -> a store of every layer's activations."""

from dataclasses import asdict
from typing import Any

from subspace_match.jobs import log, run, show_progress


def extract(snakemake: Any) -> None:
    from tqdm import tqdm

    from subspace_match import __version__, datasets
    from subspace_match.artefacts import damaged, read_record, sha256
    from subspace_match.matching.devices import resolve_device
    from subspace_match.networks.extraction import draw_samples, extract
    from subspace_match.networks.images import Images
    from subspace_match.networks.layers import LayeredNetwork
    from subspace_match.networks.weights import load_network
    from subspace_match.store import new_store

    settings, paths = snakemake.params.extraction, snakemake.input
    trained = read_record(paths.record)
    if (found := sha256(paths.network)) != trained["sha256"]:
        raise damaged(paths.network, f"SHA-256 {found} instead of {trained['sha256']}")
    data = datasets.load(paths.images)
    device = resolve_device(snakemake.config["device"])
    log.info("extracting on %s", device)
    images = Images.on_device(data.test, data.about, device)
    network = LayeredNetwork(load_network(paths.network, device))

    layers = network.layers(*data.test.images.shape[1:])
    samples = {
        layer.name: draw_samples(
            layer, len(data.test.labels), settings["positions"], settings["position_seed"]
        )
        for layer in layers
    }
    entries = [
        asdict(layer) | {"depth": depth, "samples": len(samples[layer.name])}
        for depth, layer in enumerate(layers, start=1)
    ]
    for entry in entries:
        if entry["kind"] == "conv" and entry["samples"] < settings["positions"]:
            log.info(
                "%s has %d positions in all, fewer than the %d asked for",
                *(entry["name"], entry["samples"], settings["positions"]),
            )
    about = {
        "digest": snakemake.params.digest,
        "seed": trained["seed"],
        "checkpoint": trained["sha256"],
        "images": "test split",
        "data": data.about,
        "extraction": settings,
        "version": __version__,
    }
    with (
        new_store(snakemake.output.store, about, entries) as store,
        tqdm(
            total=-(-len(images.labels) // settings["batch_size"]),
            desc=f"seed {trained['seed']}",
            unit="batch",
            position=snakemake.config["seeds"].index(trained["seed"]),
            disable=not show_progress(),
        ) as bar,
    ):
        for name, index in samples.items():
            store.samples(name, index)
        extract(
            network,
            images,
            layers,
            samples,
            batch_size=settings["batch_size"],
            sink=store.append,
            batch_done=bar.update,
        )


run(extract, snakemake)  # type: ignore[name-defined]
