"""A network's activations -> the images that activate each of its neurons most."""

from typing import Any

from subspace_match.workflow.job import run


def top_images(snakemake: Any) -> None:
    from subspace_match.results.top_images import top_images
    from subspace_match.storage.activations import ActivationStore
    from subspace_match.storage.files import write_arrays

    store = ActivationStore(snakemake.input.store)
    arrays: dict[str, Any] = {}
    for name, layer in store.layers.items():
        images = store.samples(name) // (layer["height"] * layer["width"])
        found, activations = top_images(store.activations(name), images)
        arrays |= {f"{name}/images": found, f"{name}/activations": activations}
    about = {key: store.about[key] for key in ("network", "checkpoint", "accuracy")}
    write_arrays(snakemake.output[0], arrays, about | {"digest": snakemake.params.digest})


run(top_images, snakemake, threads=1)  # type: ignore[name-defined]
