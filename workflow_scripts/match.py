"""One layer of two networks' activations -> second moments and match path."""

from typing import Any

from subspace_match.jobs import job, log


def match(snakemake: Any) -> None:
    import numpy as np

    import subspace_match as sm
    from subspace_match.artefacts import write_arrays
    from subspace_match.matching.checks import resolve_device
    from subspace_match.store import ActivationStore
    from subspace_match.tables import LayerMatch

    layer, device = snakemake.wildcards.layer, resolve_device(snakemake.config["device"])
    log.info("matching on %s", device)
    stores = ActivationStore(snakemake.input.a), ActivationStore(snakemake.input.b)
    if not np.array_equal(stores[0].samples(layer), stores[1].samples(layer)):
        raise ValueError(
            f"{layer}: expected the same samples in both stores, found others in"
            f" {stores[1].path} than in {stores[0].path}; remove both and run again"
        )
    pair = sm.reduce(
        stores[0].activations(layer),
        stores[1].activations(layer),
        device=device,
        chunk_samples=snakemake.params.chunk_samples,
    )
    path = sm.match_path(pair, device=device)

    entry = stores[0].layers[layer]
    about = {
        "digest": snakemake.params.digest,
        "layer": layer,
        **{key: entry[key] for key in ("node", "depth", "kind", "samples")},
    }
    for side, store in zip("ab", stores, strict=True):
        about |= {f"seed_{side}": store.about["seed"], f"checkpoint_{side}": store.about["checkpoint"]}
    about |= {"well_conditioned": pair.well_conditioned, "version": sm.__version__}
    moments = {"second_moments": pair.second_moments, "sums": pair.sums}
    if not pair.well_conditioned:
        moments["factor"] = pair.factor
    write_arrays(snakemake.output.moments, moments, about | {"neurons_x": pair.neurons_x})
    norms = pair.norms[: pair.neurons_x], pair.norms[pair.neurons_x :]
    critical = path.critical_epsilon_x, path.critical_epsilon_y
    LayerMatch(critical, norms, path.removal_order, about).save(snakemake.output.path)


with job(snakemake.log[0], snakemake.params.cpu_threads):  # noqa: F821
    match(snakemake)  # noqa: F821
