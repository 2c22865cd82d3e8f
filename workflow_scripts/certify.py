"""Some layers' match paths -> certificates of their maximum matches, one per epsilon."""

from typing import Any

from subspace_match.jobs import log, run


def certify(snakemake: Any) -> None:
    from subspace_match.matches import load_matches, save_certificates
    from subspace_match.matching.on_device import resolve_device

    params, paths = snakemake.params, snakemake.input
    device = resolve_device(snakemake.config["device"])
    log.info("certifying on %s", device.name)
    certified = []
    for match in load_matches(paths.path):
        certificates = match.path(paths.moments).verify(params.epsilons, device=device)
        certified.append((certificates, match.about | {"digest": params.digest}))
    save_certificates(snakemake.output.certificates, certified)


run(certify, snakemake)  # type: ignore[name-defined]
