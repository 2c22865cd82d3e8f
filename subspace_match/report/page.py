"""The page as one HTML file: template, style, script, plotting library and data."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from ..storage.files import atomic_write
from .payload import images, payload
from .runs import Run

_PARTS = Path(__file__).parent / "page"
# ES modules, each after those that it imports.
SCRIPTS = (
    *("dom.js", "data.js", "state.js", "charts.js", "answer.js", "overview.js", "depth.js"),
    *("compared.js", "layer.js", "pairs.js", "provenance.js", "neurons.js", "networks.js"),
    "main.js",
)
# Bytes. The images get the room that is left in a page small enough to send by mail.
_PAGE, _MIN_IMAGES, _MAX_IMAGES = 9_300_000, 300_000, 2_500_000
_IMPORT_OR_EXPORT = re.compile(r"^import .*?;\n|^export ", re.MULTILINE | re.DOTALL)


def page(runs: Sequence[Run], done: Callable[[], object] = lambda: None) -> str:
    """Return the page of one or several runs as HTML.

    Args:
        runs: in the order in which the page shows them.
        done: called after each run.
    """
    payloads = []
    for run in runs:
        payloads.append(payload(run))
        done()
    tables = _compressed(payloads)
    rest = len(tables) + len(_plotting_library())
    # Base64 turns 3 bytes into 4.
    budget = min(_MAX_IMAGES, max(_MIN_IMAGES, (_PAGE - rest) * 3 // 4)) // len(runs)
    return Template(_part("page.html")).substitute(
        title=html.escape(" and ".join(run.name for run in runs)),
        style=_part("page.css"),
        runs=tables,
        images=_compressed([images(run, budget) for run in runs]),
        vega=_plotting_library(),
        # Modules cannot import each other within one file, so join them into one.
        script="\n".join(_IMPORT_OR_EXPORT.sub("", _part(name)) for name in SCRIPTS),
    )


def write_page(
    runs: Sequence[Run], path: str | Path, done: Callable[[], object] = lambda: None
) -> None:
    """Write the page to a file; the other arguments are those of ``page``."""
    text = page(runs, done)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@cache
def _plotting_library() -> str:
    """Return Vega and Vega-Lite as a script, from the package that contains them."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _compressed(content: Any) -> str:
    """Encode JSON as base64 of gzip without a time stamp: equal content gives equal text."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
