"""The configuration: checked against its schema, defaults filled in, wrong keys named.

The schema (config/schema.yaml) states every key's type, range and default. ``validated`` turns what
a user wrote into the complete configuration, or says in one line a fault what is wrong with it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

Config = dict[str, Any]


def validated(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Config:
    """The configuration with defaults filled in, if it fits the schema.

    Args:
        config: what the user wrote, nested mappings.
        schema: JSON schema whose properties carry ``default`` values.

    Returns:
        A new, complete configuration; whole numbers are floats where the schema says "number", so
        that 1 and 1.0 are one configuration.

    Raises:
        ValueError: naming every unknown key with the nearest known one, and every value that is out
            of its range, with what was expected.

    Example:
        >>> schema = {"properties": {"seeds": {"type": "array", "default": [0, 1]}},
        ...           "additionalProperties": False}
        >>> validated({}, schema)
        {'seeds': [0, 1]}
        >>> validated({"seed": 3}, schema)
        Traceback (most recent call last):
        ValueError: config: unknown key 'seed'; the nearest known key is 'seeds'
    """
    complete: Config = _with_defaults(config, schema)
    faults = [fault for error in _errors(complete, schema) for fault in _describe(error)]
    if not faults:
        faults = list(_contradictions(complete))
    if faults:
        raise ValueError("\n".join(f"config: {fault}" for fault in faults))
    return complete


def _with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    if "properties" in schema and isinstance(value, Mapping):
        known = schema["properties"]
        filled = {
            key: _with_defaults(value.get(key, _default(part)), part) for key, part in known.items()
        }
        return filled | {key: other for key, other in value.items() if key not in known}
    if schema.get("type") == "array" and isinstance(value, list):
        return [_with_defaults(item, schema.get("items", {})) for item in value]
    return _as_number(value, schema.get("type"))


def _as_number(value: Any, kind: Any) -> Any:
    """The value as a number where the schema wants one and the value spells one.

    Snakemake's --config hands the items of a list over as texts, and YAML takes 5e-4 for a text.
    """
    convert = {"integer": int, "number": float}.get(kind if isinstance(kind, str) else "")
    if convert is None or isinstance(value, bool) or not isinstance(value, str | int):
        return value
    try:
        return convert(value)
    except ValueError:
        return value


def _default(schema: Mapping[str, Any]) -> Any:
    return {} if "properties" in schema else schema["default"]


def _errors(config: Config, schema: Mapping[str, Any]) -> list[Any]:
    validator = jsonschema.Draft202012Validator(schema)
    return sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))


def _describe(error: Any) -> Iterator[str]:
    place = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        prefix = f"{place}." if place else ""
        for key in sorted(set(error.instance) - set(known), key=str):
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            yield f"unknown key '{prefix}{key}'; the nearest known key is '{prefix}{near}'"
    else:
        yield f"{place}: expected {_expected(error.schema)}, found {error.instance!r}"


def _expected(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kind = schema.get("type", "a value")
    kinds = kind if isinstance(kind, list) else [kind]
    nouns = {"integer": "a whole number", "number": "a number", "array": "a list"}
    nouns |= {"object": "keys and values", "boolean": "true or false", "string": "a text"}
    words = [" or ".join(nouns.get(str(name), str(name)) for name in kinds)]
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    words += [f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema]
    if "minItems" in schema:
        words.append(f"of at least {schema['minItems']}")
    if schema.get("uniqueItems"):
        words.append("without repetition")
    return " ".join(words)


def _contradictions(config: Config) -> Iterator[str]:
    """Faults between keys, which a schema cannot express."""
    training = config.get("training", {})
    if training.get("warmup_epochs", 0) > training.get("epochs", 0):
        yield (
            f"training.warmup_epochs: expected at most training.epochs ({training['epochs']}),"
            f" found {training['warmup_epochs']}"
        )
    data = config.get("data", {})
    if data.get("name", "mnist_5k") != "mnist_5k" and data.get("root") is None:
        yield f"data.root: expected the folder that holds {data['name']}'s files, found null"
