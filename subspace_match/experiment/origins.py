"""What a plan rests on beside its configuration, and whether a job finds it as planned.

The paths of a run are planned from the code and from the contents of the user's own files. A job
that starts later, perhaps on another machine, would record the results of other code or other data
under these paths if either was changed meanwhile; so it looks before its work, and again after it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..storage.files import Record, read_record
from ..storage.job_records import Records, check
from .code_inputs import Code
from .comparisons import models_of
from .config import Config, read_config
from .paths import Origins, Paths, deciding
from .user_files import AREA, content_digest, data_source, network_sources

Say = Callable[[str], object]


def origins_of(
    config: Config, code: Code, results: str | Path, say: Say = lambda _: None
) -> Origins:
    """Digests of the code of a project and of the user's own files that a configuration names.

    Args:
        config: complete.
        code: of the project.
        results: folder of all results, where checksums are kept.
        say: told what a person should know: of work that takes long, of files that are gone.

    Raises:
        ValueError: if there are no such files, and no data set that was prepared from them.
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
    except FileNotFoundError:
        # What was prepared from the files is enough, if it can be told: they may lie elsewhere now.
        records = _prepared(cache.parent)
        prepared = {r.get("content") for r in records if r.get("settings") == deciding(section)}
        if len(prepared) != 1 or None in prepared:
            from ..data.catalogue import files_are_missing

            raise files_are_missing(section["name"], section["root"]) from None
        say(
            f"data.root: found no files of {section['name']} in {section['root']}; going on with"
            f" the data set that was prepared from such files before, in {cache.parent / 'data'}"
        )
        return str(prepared.pop())


def _prepared(results: Path) -> Iterator[Record]:
    """What is known of each data set that was prepared."""
    records = Records()
    for file in sorted(results.glob("data/*/data.json")):
        if (job := records.of(file)) is not None:
            check(file.absolute(), job)
            yield read_record(file)


def paths_of(project: str | Path, configfiles: Iterable[str | Path] = ()) -> Paths:
    """Where the results of a project lie; arguments as of ``config_of``.

    Raises:
        ValueError: if the configuration is wrong, or files that it names are not there.
    """
    config = config_of(project, configfiles)
    with _importable(project):
        origins = origins_of(config, Code(project), Path(project, config["results"]))
    return Paths(config, origins)


@contextmanager
def _importable(project: str | Path) -> Iterator[None]:
    """Find a user's own network beside the Snakefile, as a run of the workflow does."""
    folder = str(Path(project).absolute())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def config_of(project: str | Path, configfiles: Iterable[str | Path] = ()) -> Config:
    """The complete configuration of a project, with files that say what differs.

    Args:
        project: folder of the workflow.
        configfiles: as of ``snakemake --configfile``; later ones win.

    Raises:
        ValueError: if the configuration is wrong.
    """
    folder = Path(project, "config")
    return read_config([folder / "config.yaml", *configfiles])
