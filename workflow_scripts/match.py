"""One layer of two networks' activations -> second moments and match path."""

from typing import Any

from subspace_match.jobs import log, run

ROWS = 4096  # samples read at once for debiased CKA's sums, which the moments do not hold


def match(snakemake: Any) -> None:
    import numpy as np

    import subspace_match as sm
    from subspace_match.matches import LayerMatch, save_moments
    from subspace_match.matching.devices import resolve_device
    from subspace_match.matching.measures import row_squares
    from subspace_match.store import ActivationStore

    layer, device = snakemake.wildcards.layer, resolve_device(snakemake.config["device"])
    log.info("matching on %s", device)
    stores = ActivationStore(snakemake.input.a), ActivationStore(snakemake.input.b)
    if not np.array_equal(stores[0].samples(layer), stores[1].samples(layer)):
        raise ValueError(
            f"{layer}: expected the same samples in both stores, found others in"
            f" {stores[1].path} than in {stores[0].path}; remove both and run again"
        )
    x, y = (store.activations(layer) for store in stores)
    pair = sm.reduce(x, y, device=device, chunk_samples=snakemake.params.chunk_samples)
    rows = row_squares(x[:ROWS], y[:ROWS])
    for start in range(ROWS, pair.samples, ROWS):
        rows += row_squares(x[start : start + ROWS], y[start : start + ROWS], rows.shift)
    path = sm.match_path(pair, device=device)

    entry = stores[0].layers[layer]
    origin = {
        f"{key}_{side}": store.about[key]
        for side, store in zip("ab", stores, strict=True)
        for key in ("seed", "checkpoint")
    }
    about = {
        "digest": snakemake.params.digest,
        "layer": layer,
        **{key: entry[key] for key in ("node", "depth", "kind", "samples")},
        **origin,
        "version": sm.__version__,
    }
    save_moments(snakemake.output.moments, pair, rows, about)
    LayerMatch.of(path, about).save(snakemake.output.path)


run(match, snakemake)  # type: ignore[name-defined]
