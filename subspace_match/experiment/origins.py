"""Digests of the code and of the user's own files, from which the paths of a project follow."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..storage.files import read_record
from ..storage.job_records import Records, check
from .code_inputs import Code
from .comparisons import models_of
from .config import Config, read_config
from .keys import Origins, without_location
from .paths import Paths
from .user_files import AREA, Say, content_digest, data_source, network_sources


def origins_of(
    config: Config, code: Code, results: str | Path, say: Say = lambda _: None
) -> Origins:
    """Return digests of a project's code and of the user's files that a configuration names.

    The folder of results keeps checksums for the next call. ``say`` receives messages for the user
    about slow work and missing files.

    Raises:
        ValueError: if files are missing, and no data set was prepared from them before.
    """
    models = models_of(config).values()
    sections = [config["data"], *(model.data for model in models)]
    cache = Path(results, AREA)
    contents: dict[str, str] = {}
    for section in sections:
        for source in data_source(section):
            if source not in contents:
                contents[source] = _data_digest(source, section, cache, say)
    for source in (source for model in models for source in network_sources(model.network)):
        try:
            contents[source] = content_digest(source, cache, say)
        except FileNotFoundError as error:
            raise ValueError(
                f"network.weights: expected a file of weights, found none at {error.filename}"
            ) from error
    return Origins({name: code.digest(name) for name in code.names}, contents)


def _data_digest(source: str, section: dict[str, Any], cache: Path, say: Say) -> str:
    try:
        return content_digest(source, cache, say)
    except FileNotFoundError as error:
        if source.startswith("tokenizer "):
            raise ValueError(
                f"data.tokenizer: expected bytes or the tokenizer.json of a model, found no file at"
                f" {error.filename}"
            ) from error
        # The files may have moved; the prepared data set suffices if it is certain which one it is.
        settings, records, prepared = without_location(section), Records(), set()
        for file in cache.parent.glob("data/*/data.json"):
            if (job := records.find(file)) is not None:
                check(file.absolute(), job)
                if (record := read_record(file)).get("settings") == settings:
                    prepared.add(record.get("content"))
        if len(prepared) != 1 or None in prepared:
            from ..data.catalogue import files_are_missing

            raise files_are_missing(section["name"], section["root"]) from None
        say(
            f"data.root: found no files of {section['name']} in {section['root']}; using the data"
            f" set that was prepared from them before, in {cache.parent / 'data'}"
        )
        return str(prepared.pop())


def paths_of(project: str | Path, configfiles: Iterable[str | Path] = ()) -> Paths:
    """Return the paths of a project's results; arguments as for ``config_of``.

    Raises:
        ValueError: if the configuration is wrong, or files that it names are missing.
    """
    config, folder = config_of(project, configfiles), str(Path(project).absolute())
    # Modules beside the Snakefile can be imported, as in a run of the workflow.
    sys.path.insert(0, folder)
    try:
        origins = origins_of(config, Code(project), Path(project, config["results"]))
    finally:
        sys.path.remove(folder)
    return Paths(config, origins)


def config_of(project: str | Path, configfiles: Iterable[str | Path] = ()) -> Config:
    """Return the complete configuration of a project.

    Args:
        project: folder of the workflow.
        configfiles: as for ``snakemake --configfile``; later ones override earlier ones.

    Raises:
        ValueError: if the configuration is wrong.
    """
    return read_config([Path(project, "config", "config.yaml"), *configfiles])
