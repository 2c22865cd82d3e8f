"""Every layer's match paths and what was made of them -> tidy tables and metrics."""

from typing import Any

from subspace_match.workflow.job import log, run


def aggregate(snakemake: Any) -> None:
    from dataclasses import replace

    import numpy as np
    import pandas as pd

    from subspace_match.matching.certificate import Certificate
    from subspace_match.matching.validation import FEW_SAMPLES
    from subspace_match.results import tables
    from subspace_match.storage.files import read_arrays, read_record, write_record, write_table
    from subspace_match.storage.match_files import (
        check_origin,
        load_certificates,
        load_matches,
        load_minimal_matches,
        load_parts,
    )

    params, paths, output = snakemake.params, snakemake.input, snakemake.output
    networks = {
        key: network | {"checkpoint": read_record(path)["sha256"]}
        for (key, network), path in zip(params.networks.items(), paths.records, strict=True)
    }
    checkpoints = {key: network["checkpoint"] for key, network in networks.items()}
    compared = {(pair["network_a"], pair["network_b"]): pair for pair in params.pairs}

    def checked(about: dict[str, Any], path: str, digest: str) -> dict[str, Any]:
        """The record of what a file was made from, with what this experiment calls it."""
        check_origin(about, path, digest, checkpoints)
        named: dict[str, Any] = compared[about["network_a"], about["network_b"]]
        return about | named

    numbers = {pair: number for number, pair in enumerate(compared)}

    def place(about: dict[str, Any]) -> tuple[int, int, int]:
        """Of a part among all, by pair, depth and draw: a file has the layers of a group."""
        return numbers[about["network_a"], about["network_b"]], about["depth"], about["draw"]

    matches = [
        replace(match, about=checked(match.about, path, params.matching_digest))
        for path in paths.matches
        for match in load_matches(path)
    ]
    matches.sort(key=lambda match: place(match.about))
    certificate_of: dict[tuple[int, int, int], list[Certificate]] = {}
    for path in paths.certificates:
        for certificates, about in load_certificates(path):
            check_origin(about, path, params.certificate_digest, checkpoints)
            certificate_of[place(about)] = certificates
    measures_of: dict[tuple[int, int, int], dict[str, tuple[float, str]]] = {}
    for path in paths.measures:
        for arrays, about in load_parts(path):
            check_origin(about, path, params.matching_digest, checkpoints)
            notes = about["notes"]
            measures_of[place(about)] = {n: (v.item(), notes[n]) for n, v in arrays.items()}
    null_of: dict[tuple[int, int, int], np.ndarray] = {}
    for path in paths.nulls:
        for arrays, about in load_parts(path):
            check_origin(about, path, params.null_digest, checkpoints)
            null_of[place(about)] = arrays["critical_epsilon"]
    proofs = [certificate_of[place(match.about)] for match in matches]
    nulls = [null_of.get(place(match.about)) for match in matches]
    measured = [match for match in matches if place(match.about) in measures_of]
    measures = [measures_of[place(match.about)] for match in measured]

    minimal = [
        (layer, checked(about, path, params.matching_digest))
        for path in paths.minimal
        for layer, about in load_minimal_matches(path)
    ]
    minimal.sort(key=lambda each: (*place(each[1]), each[1]["epsilon"]))
    heat_maps = []
    for path in paths.heat_maps:
        arrays, about = read_arrays(path)
        heat_maps.append((arrays, checked(about, path, params.heat_map_digest)))
    top_images = []
    for path in paths.top_images:
        arrays, about = read_arrays(path)
        check_origin(about, path, params.top_images_digest, checkpoints)
        networks[about["network"]]["accuracy"] = about["accuracy"]
        top_images.append((arrays, about))

    similarity = tables.similarity_table(matches, nulls, proofs)
    _warn(similarity, FEW_SAMPLES)
    of_measures = tables.measure_table(measured, measures)
    for (layer, note), rows in of_measures[of_measures["note"] != ""].groupby(["layer", "note"]):
        log.warning("%s: %s: %s", layer, ", ".join(rows["measure"].unique()), note)
    summary = tables.summary_table(similarity)
    of_networks = tables.network_table(networks)
    made: dict[str, pd.DataFrame] = {
        "networks": of_networks,
        "similarity": similarity,
        "summary": summary,
        "neurons": tables.neuron_table(matches),
        "measures": of_measures,
        "minimal_matches": tables.minimal_match_table(minimal),
        "minimal_match_members": tables.member_table(minimal),
        "null": tables.null_table(matches, nulls),
        "heat_map": tables.heat_map_table(heat_maps, params.epsilons),
        "top_images": tables.top_image_table(top_images),
        "left_out": tables.left_out_table(params.pairs),
    }
    for name, table in made.items():
        for suffix in ("parquet", "csv"):
            if path := output.get(f"{name}_{suffix}"):
                write_table(table, path)
    write_record(output.metrics, tables.metrics(summary, of_networks))
    write_record(output.config, snakemake.config)


def _warn(similarity: Any, few_samples: float) -> None:
    """Say what a reader of the similarities has to know."""
    for row in similarity[~(similarity["verified"] & similarity["certain"])].itertuples():
        log.warning(
            "%s at epsilon %g: %s",
            *(row.layer, row.epsilon),
            f"a decision is only {row.margin:.1e} from the other outcome, which rounding could turn"
            if not row.certain
            else "the match is not proved by a fresh factorisation; please report this",
        )
    for row in similarity[similarity["few_samples"]].drop_duplicates("layer").itertuples():
        log.warning(
            "%s has %.2f neurons a sample (%d samples); above %g some of the match is chance",
            *(row.layer, row.neurons_per_sample, row.samples, few_samples),
        )


run(aggregate, snakemake, threads=1)  # type: ignore[name-defined]
