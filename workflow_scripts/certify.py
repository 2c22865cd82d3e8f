"""Match paths of a group of layers -> certificates of their maximum matches, one per epsilon."""

from dataclasses import replace
from typing import Any

from subspace_match.workflow.job import log, run


def certify(snakemake: Any) -> None:
    from subspace_match.matching.backends import resolve_device
    from subspace_match.storage.match_files import load_matches, save_certificates

    params, paths = snakemake.params, snakemake.input
    device = resolve_device(snakemake.config["device"])
    log.info("certifying on %s", device.name)
    certificates = {}
    for origin, match in load_matches(paths.path).items():
        path = match.path(paths.moments)
        origin = replace(origin, digest=params.digest)
        certificates[origin] = path.verify(params.epsilons, device=device)
    save_certificates(snakemake.output.certificates, certificates)


run(certify, snakemake)  # type: ignore[name-defined]
