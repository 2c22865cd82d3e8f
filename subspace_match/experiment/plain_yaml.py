"""Configuration files that all YAML readers read alike.

Snakemake reads YAML 1.1, in which 010 is 8, 1:30 is 90, no is false, and the last of two equal keys
counts. This reader refuses every value that YAML 1.2 reads differently, so that Snakemake gets the
values that people and other programs see in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
# Types of unquoted values in YAML 1.2 (core schema); a value that fits no pattern is a string.
# Numbers have no leading zeros here, which the two versions read differently.
_KINDS = {
    "null": re.compile(r"|~|null|Null|NULL"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+"),
    "float": re.compile(
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
    # Numbers in only one of the versions, or different numbers in each.
    "ambiguous": re.compile(r"[-+]?0[0-9_][0-9_.eE+-]*|0o[0-7]+"),
}


def as_number(text: str, kind: type[int] | type[float]) -> int | float | None:
    """Return the number that a string is in YAML 1.2; None if it is not one of this type.

    Example:
        >>> as_number("12", int), as_number("5e-4", float), as_number("010", int)
        (12, 0.0005, None)
    """
    kinds = ("int",) if kind is int else ("int", "float")
    if text[:2] == "0x" or not any(_KINDS[name].fullmatch(text) for name in kinds):
        return None
    return kind(text.replace(".inf", "inf").replace(".nan", "nan"))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in a YAML or JSON file; empty for an empty file.

    Raises:
        ValueError: if the file does not exist, is not UTF-8, is not one mapping, or has a repeated
            key or a value that YAML 1.1 and 1.2 read differently; names the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ValueError(
            f"{path}: expected a configuration file, found none of that name"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected a configuration file in UTF-8, found unreadable text ({error});"
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
        # Snakemake also tries JSON first; all readers agree on JSON values.
        return json.loads(text, object_pairs_hook=_without_repetition)
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
        problem = ", ".join(filter(None, [error.context, error.problem]))
        raise ValueError(f"{_line(error.problem_mark)}{problem}") from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise ValueError(" ".join(str(error).split())) from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"the key {repeated[0]!r} appears twice; keep one")
    return dict(pairs)


def _line(mark: yaml.Mark | None) -> str:
    return "" if mark is None else f"line {mark.line + 1}: "


def _faults(node: yaml.Node, above: tuple[yaml.Node, ...]) -> Iterator[tuple[yaml.Node, str]]:
    """Yield nodes that are ambiguous or that YAML versions read differently, and why."""
    if any(node is one for one in above):
        yield node, "expected a value, found an alias of a node around it; write the value"
        return
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        known: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield key, "expected a string as key, found a list or a mapping"
            elif key.value in known:
                yield key, f"the key {key.value!r} appears twice; keep one"
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
            " false, a number without leading zeros, colons and underscores, or a string in quotes",
        )


def _reads_alike(node: yaml.Node) -> bool:
    """Return whether YAML 1.1 and 1.2 give a node the same type."""
    tag = node.tag.removeprefix(_TAG)
    if not isinstance(node, yaml.ScalarNode):
        return tag in ("map", "seq")
    if node.style is not None:
        return tag == "str"
    kinds = (kind for kind, pattern in _KINDS.items() if pattern.fullmatch(node.value))
    kind = next(kinds, "str")
    # YAML 1.1 reads 5e-4 as a string; ``config`` converts it where the schema wants a number.
    return tag == kind or (tag, kind) == ("str", "float")
