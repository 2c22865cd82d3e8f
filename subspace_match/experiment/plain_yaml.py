"""Configuration files in which every reader of YAML reads the same.

Snakemake reads them as YAML 1.1, in which 010 is 8, 1:30 is 90, no is false, and of a key that
stands twice the last one counts. Whatever YAML 1.2 reads otherwise is refused here, so that what
Snakemake hands over is what people and other programs read in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
# What a value without quotes is in YAML 1.2 (core schema); a text if none fits. Numbers here have
# no leading zeros, which the two versions read differently.
_KINDS = {
    "null": re.compile(r"|~|null|Null|NULL"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
    # Both versions would read them as numbers, or one of them.
    "ambiguous": re.compile(r"[-+]?0[0-9_][0-9_.eE+-]*|0o[0-7]+"),
}


def as_number(text: str, kind: type[int] | type[float]) -> int | float | None:
    """The number that a text spells in YAML 1.2, of a kind; None if it spells none.

    Example:
        >>> as_number("12", int), as_number("5e-4", float), as_number("010", int)
        (12, 0.0005, None)
    """
    kinds = ("int",) if kind is int else ("int", "float")
    if text[:2] == "0x" or not any(_KINDS[name].fullmatch(text) for name in kinds):
        return None
    return kind(text.replace(".inf", "inf").replace(".nan", "nan"))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a configuration file.

    Args:
        path: of a YAML or JSON file.

    Returns:
        Its mapping; empty for a file without any keys.

    Raises:
        ValueError: if it is not there, not UTF-8, not one mapping, holds a key twice, or a value
            that YAML 1.1 and 1.2 read differently; naming the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(
            f"{path}: expected a configuration file, found none of that name"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected a configuration file in UTF-8, found what cannot be read ({error});"
            " save it as UTF-8"
        ) from error
    try:
        found = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected keys and values, found {found!r}")
    return found


def _parsed(text: str) -> Any:
    try:
        # Snakemake tries JSON first as well; all read its values alike.
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError:
        pass
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return {}
        for faulty, fault in _faults(node, ()):
            raise ValueError(f"{_line(faulty.start_mark)}{fault}")
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        words = ", ".join(filter(None, [error.context, error.problem]))
        raise ValueError(f"{_line(error.problem_mark)}{words}") from error
    except yaml.YAMLError as error:  # a character that no YAML holds
        raise ValueError(" ".join(str(error).split())) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A mapping of JSON, whose keys stand in it once."""
    keys = [key for key, _ in pairs]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"the key {repeated[0]!r} stands twice; keep one")
    return dict(pairs)


def _line(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f"line {mark.line + 1}: "


def _faults(node: yaml.Node, above: tuple[yaml.Node, ...]) -> Iterator[tuple[yaml.Node, str]]:
    """Nodes that are not read alike, or not as they look, and why."""
    if any(node is one for one in above):
        yield node, "expected a value, found an alias of what it stands in; write the value"
        return
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        known: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield key, "expected a text as key, found a list or a mapping"
            elif key.value in known:
                yield key, f"the key {key.value!r} stands twice; keep one"
            elif key.tag != f"{_TAG}merge":
                known.add(key.value)
                yield from _faults(key, above)
            yield from _faults(value, above)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _faults(item, above)
    if not _reads_alike(node):
        shown = node.value if isinstance(node, yaml.ScalarNode) else node.tag
        yield (
            node,
            f"expected a value that YAML 1.1 and 1.2 read alike, found {shown}; write true or"
            " false, a number without leading zeros, colons and underscores, or a text in quotes",
        )


def _reads_alike(node: yaml.Node) -> bool:
    """Whether a node has no tag but that which YAML 1.1 and 1.2 give it."""
    tag = node.tag.removeprefix(_TAG)
    if not isinstance(node, yaml.ScalarNode):
        return tag in ("map", "seq")
    if node.style is not None:
        return tag == "str"
    kinds = (kind for kind, pattern in _KINDS.items() if pattern.fullmatch(node.value))
    kind = next(kinds, "str")
    # YAML 1.1 takes 5e-4 for a text; where the schema wants a number it becomes one.
    return tag == kind or (tag, kind) == ("str", "float")
