"""Puts a page together: template, style, script, plotting library and data in one file."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from ..storage.files import atomic_write
from .payload import images, payload
from .runs import Run, read_run

_PARTS = Path(__file__).parent / "page"
# ES modules, each after those that it imports.
SCRIPTS = ("data.js", "dom.js", "state.js", "charts.js", "sections.js", "neurons.js", "main.js")
# Bytes: images take what room the rest leaves in a page that can be sent to people.
_PAGE, _LEAST_IMAGES, _MOST_IMAGES = 9_300_000, 300_000, 2_500_000
_MODULE = re.compile(r"^import .*?;\n|^export ", re.MULTILINE | re.DOTALL)


def page(runs: Sequence[Run]) -> str:
    """The page of one run or of several, as the text of an HTML file.

    Args:
        runs: in the order in which they are shown.
    """
    title = " and ".join(run.name for run in runs)
    shown = [payload(run) for run in runs]
    rest = len(_compact(shown)) + len(_plotting_library())
    room = min(_MOST_IMAGES, max(_LEAST_IMAGES, (_PAGE - rest) * 3 // 4))  # base64 takes 4 for 3
    shown = [own | images(run, room // len(runs)) for own, run in zip(shown, runs, strict=True)]
    return Template(_part("page.html")).substitute(
        title=html.escape(title),
        style=_part("page.css"),
        data=_inert(_compact({"runs": shown})),
        vega=_plotting_library(),
        # In one file modules cannot import each other: they become one.
        script="\n".join(_MODULE.sub("", _part(name)) for name in SCRIPTS),
    )


def write_page(folders: Sequence[str | Path], path: str | Path) -> None:
    """Write the page of the runs in these folders.

    Raises:
        ValueError: if a folder is not one of a finished run.
    """
    text = page([read_run(folder) for folder in folders])
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@cache
def _plotting_library() -> str:
    """Vega and Vega-Lite as a script, from the package that carries them."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _compact(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _inert(text: str) -> str:
    """JSON that no parser of HTML takes for a tag: a name in it may look like one."""
    return text.replace("<", r"\u003c")
