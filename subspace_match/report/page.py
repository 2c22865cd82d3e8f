"""Puts a page together: template, style, script, plotting library and data in one file."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template

from .payload import payload
from .pictures import BUDGET
from .provenance import Maker
from .runs import Run

_PARTS = Path(__file__).parent / "page"
# ES modules, each after those that it imports.
SCRIPTS = ("data.js", "dom.js", "state.js", "charts.js", "sections.js", "neurons.js", "main.js")
_MODULE = re.compile(r"^import .*?;\n|^export ", re.MULTILINE | re.DOTALL)


def page(runs: Sequence[Run], maker: Maker) -> str:
    """The page of one run or of several, as the text of an HTML file.

    Args:
        runs: in the order in which they are shown.
        maker: what makes the page, which it names.
    """
    title = " and ".join(run.name for run in runs)
    content = {
        "made": maker.about(),
        "runs": [payload(run, BUDGET // len(runs)) for run in runs],
    }
    return Template(_part("page.html")).substitute(
        title=html.escape(title),
        style=_part("page.css"),
        data=_inert(json.dumps(content, separators=(",", ":"), allow_nan=False)),
        vega=_plotting_library(),
        # In one file modules cannot import each other: they become one.
        script="\n".join(_MODULE.sub("", _part(name)) for name in SCRIPTS),
    )


@cache
def _plotting_library() -> str:
    """Vega and Vega-Lite as a script, from the package that carries them."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _inert(text: str) -> str:
    """JSON that no parser of HTML takes for a tag: a name in it may look like one."""
    return text.replace("<", r"\u003c")
