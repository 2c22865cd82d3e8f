"""Digests of the code and of the user's own files, from which the paths of a project follow."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .code_inputs import Code
from .comparisons import models_of
from .config import Config, read_config
from .keys import Keys, Origins
from .paths import Paths
from .prepared_data import prepared_content
from .user_files import AREA, NoFilesError, Say, content_digest, data_source, network_sources


def origins_of(
    config: Config, code: Code, results: str | Path, say: Say = lambda _: None
) -> Origins:
    """Return digests of a project's code and of the user's files that a configuration names.

    A data set without files counts as prepared if it was prepared before from the same folder.

    Args:
        config: complete configuration.
        code: code of the project.
        results: folder of results; it keeps checksums for the next call.
        say: receives messages for the user about slow work and missing files.

    Raises:
        ValueError: if files are missing or cannot be read.
    """
    models = models_of(config).values()
    sections = [config["data"], *(model.data for model in models)]
    cache = Path(results, AREA)
    digests = {name: code.digest(name) for name in code.names}
    contents: dict[str, str] = {}
    without_files: dict[str, dict[str, Any]] = {}

    def add(source: str, key: str, wanted: str) -> None:
        try:
            contents[source] = content_digest(source, cache, say)
        except NoFilesError:
            raise
        except OSError as error:
            raise _unreadable(key, wanted, error) from error

    for section in sections:
        for source in data_source(section):
            if source.startswith("tokenizer "):
                add(source, "data.tokenizer", "bytes or the tokenizer.json of a model")
            elif source not in contents:
                try:
                    add(source, "data.root", "readable files")
                except NoFilesError:
                    without_files[source] = section
    for model in models:
        for source in network_sources(model.network):
            add(source, "network.weights", "a file of weights")
    for source, section in without_files.items():

        def key_of(content: str, source: str = source, section: Any = section) -> str:
            return Keys(config, Origins(digests, contents | {source: content})).data_key(section)

        contents[source] = prepared_content(section, results, key_of, say)
    return Origins(digests, contents)


def _unreadable(key: str, wanted: str, error: OSError) -> ValueError:
    if not isinstance(error, FileNotFoundError):
        return ValueError(f"{key}: expected {wanted}, found an error of the system: {error}")
    if Path(error.filename).is_symlink():
        return ValueError(
            f"{key}: expected {wanted}, found a link to nothing, {error.filename}; restore what it"
            " names, or remove it"
        )
    return ValueError(f"{key}: expected {wanted}, found none at {error.filename}")


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
