"""A network's activations -> the images that activate each of its neurons most."""

from typing import Any

from subspace_match.workflow.job import run


def top_images(snakemake: Any) -> None:
    from subspace_match.results.top_images import top_images_of
    from subspace_match.storage.activations import ActivationStore
    from subspace_match.storage.network_results import save_top_images

    found = top_images_of(ActivationStore(snakemake.input.store), snakemake.params.digest)
    save_top_images(snakemake.output[0], found)


run(top_images, snakemake, threads=1)  # type: ignore[name-defined]
