"""The plan of one run of Snakemake, and the record of it that jobs inherit."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake.logging import logger  # type: ignore[import-untyped]

from ..experiment.code_inputs import Code
from ..experiment.config import Config, read_config, validated
from ..experiment.origins import origins_of
from ..experiment.plan import Plan
from .invocation import INVOCATION, invocation, plan_for_jobs, planned_origins
from .snakemake_outputs import is_forced


def plan_of(
    workflow: Any,
    config: Config,
    tables: Mapping[str, Sequence[str]],
    figure_names: Callable[[int, int], Sequence[str]],
) -> Plan:
    """Read the configuration, record what decides the results, and plan them.

    A job inherits that record from the run (on another machine if its batch system passes
    environment variables on), so its paths are those of the plan even if files changed since.
    ``config``, Snakemake's configuration, is completed in place.

    Raises:
        SystemExit: if the configuration is wrong, or files are missing, after a message.
    """
    # Jobs too use the package in this folder.
    search_path = [workflow.basedir, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(search_path)
    # In every process a user's network that goes over a set draws and adds in the same order.
    os.environ["PYTHONHASHSEED"] = "0"
    # Snakemake's own reader takes 010 for 8, and the last of two equal keys.
    files = [Path("config", "config.yaml"), *workflow.overwrite_configfiles]
    try:
        config.update(read_config(files, workflow.config_settings.config))
        if workflow.is_main_process:
            read = [os.path.relpath(file) for file in files if file.exists()]
            logger.info(f"Configuration: {', then '.join(read)}")
        if workflow.is_main_process or INVOCATION not in os.environ:
            code = Code(workflow.basedir)
            origins = origins_of(config, code, config["results"], logger.warning)
            os.environ[INVOCATION] = invocation(
                workflow.basedir, config, validated({}), forced=True, **plan_for_jobs(origins, code)
            )
        plan = Plan(config, planned_origins(), tables, figure_names)
    except ValueError as error:
        # Snakemake would show where it was raised around the message.
        logger.error(str(error))
        sys.exit(1)
    except OSError as error:
        text, results = str(error), str(config["results"])
        if error.filename and Path(error.filename).is_relative_to(results):
            text = (
                f"results: expected a folder to write to, found an error for {results!r}"
                f" ({error.filename}: {error.strerror}); name another folder, or change its"
                " permissions"
            )
        logger.error(text)
        sys.exit(1)
    if workflow.is_main_process:
        for warning in plan.warnings:
            logger.warning(warning)
    return plan


def tell_jobs_whether_forced(workflow: Any) -> None:
    """Tell jobs whether to keep a finished result; Snakemake knows it only when a run starts."""
    known = json.loads(os.environ[INVOCATION])
    os.environ[INVOCATION] = json.dumps(known | {"forced": is_forced(workflow)})
