"""Every layer's match paths -> tidy tables and metrics."""

from collections.abc import Iterator
from typing import Any

from subspace_match.jobs import log, run


def aggregate(snakemake: Any) -> None:
    import numpy as np
    import pandas as pd

    import subspace_match as sm
    from subspace_match import tables
    from subspace_match.artefacts import read_arrays, read_record, write_record, write_table
    from subspace_match.matches import (
        LayerMatch,
        check_origin,
        load_matches,
        load_minimal_matches,
        load_moments,
    )

    params, paths = snakemake.params, snakemake.input
    networks = {
        key: network | read_record(path)
        for (key, network), path in zip(params.networks.items(), paths.records, strict=True)
    }
    checkpoints = {key: network["sha256"] for key, network in networks.items()}
    compared = {(pair["network_a"], pair["network_b"]): pair for pair in params.pairs}

    def checked(about: dict[str, Any], path: str, digest: str) -> dict[str, Any]:
        """The record of what a file was made from, with what this experiment calls it."""
        check_origin(about, path, digest, checkpoints)
        return about | compared[about["network_a"], about["network_b"]]

    def with_records(some: list[str], digest: str) -> Iterator[tuple[Any, dict[str, Any]]]:
        for path in some:
            arrays, about = read_arrays(path)
            yield arrays, checked(about, path, digest)

    matches: list[LayerMatch] = []
    nulls: list[np.ndarray | None] = []
    certificates, measures = [], []
    for place, (path, moments) in enumerate(zip(paths.matches, paths.moments, strict=True)):
        for draw, match in enumerate(load_matches(path)):
            about = checked(match.about, path, params.matching_digest)
            pair, made_from = load_moments(moments, draw)
            check_origin(made_from, moments, params.matching_digest, checkpoints)
            found = sm.MatchPath(*match.critical_epsilon, match.removal_order, pair)
            certificates.append(found.verify(params.epsilons))
            matches.append(replace(match, about=about))
            nulls.append(null_of(place) if draw == 0 else None)
            if draw == 0:
                measures.append(sm.all_measures(pair))
