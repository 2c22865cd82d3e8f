"""Directives that write pages from the code, so that these cannot go stale.

``configuration-keys`` writes every key of the configuration: its default and range from the schema,
its meaning from the comments of ``config/config.yaml``. ``command-help`` writes the help of the
command line.
"""

import contextlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from subspace_match.cli import main
from subspace_match.experiment.config import expected, schema, validated

ROOT = Path(__file__).parents[2]


def comments(text: str) -> dict[str, str]:
    r"""Return the comment of each key of a YAML file of sections, such as ``data.root``.

    A comment stands behind its key, and goes on in lines that hold nothing else.

    Example:
        >>> comments("data:  # images\\n  root: null  # a folder\\n              # of files\\n")
        {'data': 'images', 'data.root': 'a folder of files'}
    """
    found: dict[str, list[str]] = {}
    above: list[tuple[int, str]] = []
    key = ""
    for line in text.splitlines():
        code, _, comment = line.partition("#")
        if (match := re.match(r"(\s*(?:- )?)(\w+):", code)) is not None:
            indent = len(match[1])
            above = [(width, name) for width, name in above if width < indent]
            above.append((indent, match[2]))
            key = ".".join(name for _, name in above)
            found[key] = [comment.strip()]
        elif not code.strip() and key:
            found[key].append(comment.strip())
        if not line.strip():
            key = ""
    return {key: " ".join(filter(None, lines)) for key, lines in found.items()}


def tables() -> str:
    """Return every key of the configuration as MyST text: a table for each section."""
    meanings = comments((ROOT / "config/config.yaml").read_text())
    defaults, known = validated({}), schema()["properties"]
    flat = {key: part for key, part in known.items() if not _keys_of(part)}
    written = [f"## General\n\n{_table(flat, defaults, meanings, '')}"]
    for section, part in known.items():
        if inner := _keys_of(part):
            default = defaults[section]
            own = default[0] if isinstance(default, list) else default
            intro = f"{meanings[section][:1].upper()}{meanings[section][1:]}."
            table = _table(inner, own, meanings, f"{section}.")
            written.append(f"## `{section}`\n\n{intro}\n\n{table}")
    return "\n\n".join(written)


def _keys_of(part: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a section, of the entries of a list, or of each named object."""
    places = (part, part.get("items"), part.get("additionalProperties"))
    return next((p["properties"] for p in places if isinstance(p, dict) and "properties" in p), {})


def _table(parts: dict[str, Any], defaults: Any, meanings: dict[str, str], above: str) -> str:
    rows = ["| key | default | value | meaning |", "|---|---|---|---|"]
    for key, part in parts.items():
        default = defaults[key] if key in defaults else part.get("default")
        # A maximum only excludes absurd values.
        value = expected({name: own for name, own in part.items() if name != "maximum"})
        meaning = meanings.get(above + key) or part.get(
            "$comment", "as in the section of this name"
        )
        rows.append(f"| `{key}` | `{json.dumps(default)}` | {_cell(value)} | {_cell(meaning)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return re.sub(r"([|*<>\[\]])", r"\\\1", text)


class ConfigurationKeys(SphinxDirective):
    """Write the tables of all keys."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed tables."""
        for name in ("config/config.yaml", "subspace_match/experiment/schema.yaml"):
            self.env.note_dependency(str(ROOT / name))
        return self.parse_text_to_nodes(tables(), allow_section_headings=True)


class CommandHelp(SphinxDirective):
    """Write the help of the command, and of each subcommand under a heading of its own."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed text."""
        general = _help()
        commands = re.findall(r"^    (\w+)", general.partition("commands:")[2], re.MULTILINE)
        text = [_block(general)]
        text += [f"## `subspace-match {name}`\n\n{_block(_help(name))}" for name in commands]
        return self.parse_text_to_nodes("\n\n".join(text), allow_section_headings=True)


def _help(*command: str) -> str:
    os.environ["COLUMNS"] = "88"  # argparse reads the width of the terminal here
    written = io.StringIO()
    with contextlib.redirect_stdout(written), contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return written.getvalue()


def _block(text: str) -> str:
    return f"```text\n{text}```"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("configuration-keys", ConfigurationKeys)
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
