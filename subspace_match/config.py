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

# What a model of the section ``models`` may have otherwise than the configuration at large.
SECTIONS_OF_A_MODEL = ("data", "network", "training")


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
        for name, model in complete.get("models", {}).items():
            faults += _complete_model(f"models.{name}", model, complete, schema)
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


def _complete_model(
    place: str, model: Config, config: Config, schema: Mapping[str, Any]
) -> list[str]:
    """Bring a model's own values into the schema's types; what is wrong with them, if anything."""
    faults = []
    for section in set(SECTIONS_OF_A_MODEL) & set(model):
        part = schema["properties"][section]
        known = part["properties"]
        model[section] = {
            key: _with_defaults(value, known.get(key, {})) for key, value in model[section].items()
        }
        found = _errors(config[section] | model[section], part)
        faults += [f for error in found for f in _describe(error, f"{place}.{section}.")]
    return faults


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


def _describe(error: Any, above: str = "") -> Iterator[str]:
    place = above + ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        prefix = f"{place.removesuffix('.')}." if place else ""
        for key in sorted(set(error.instance) - set(known), key=str):
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            yield f"unknown key '{prefix}{key}'; the nearest known key is '{prefix}{near}'"
    else:
        yield f"{place}: expected {_expected(error.schema)}, found {error.instance!r}"


def _expected(schema: Mapping[str, Any]) -> str:
    if "description" in schema:
        return str(schema["description"])
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
    models = config.get("models", {})
    yield from _of_sections("", config)
    for name, model in models.items():
        yield from _of_sections(f"models.{name}.", config | sections_of(model, config))
        seen = [name]
        while (start := models.get(seen[-1], {}).get("start")) is not None:
            if start not in models:
                yield f"models.{seen[-1]}.start: expected one of {list(models)}, found {start!r}"
            elif start in seen:
                yield f"models.{name}.start: expected a model that does not start from it itself"
            if start not in models or start in seen:
                break
            seen.append(start)
    stages = list(map(str, config.get("stages", [])))
    for number, entry in enumerate(config.get("compare", [])):
        place = f"compare.{number}"
        for name in set(entry["models"]) - set(models or {"base"}):
            known = list(models or {"base": {}})
            yield f"{place}.models: expected two of {known}, found {name!r}"
        if isinstance(entry["stages"], list):
            for stage in set(map(str, entry["stages"])) - set(stages):
                yield f"{place}.stages: expected stages that are kept ({stages}), found {stage!r}"


def sections_of(model: Config, config: Config) -> Config:
    """A model's data, network and training: the configuration's, but for what it says itself."""
    return {section: config[section] | model.get(section, {}) for section in SECTIONS_OF_A_MODEL}


def _of_sections(above: str, config: Config) -> Iterator[str]:
    """Faults of one model's sections."""
    training = config.get("training", {})
    epochs = training.get("epochs", 0)
    if training.get("warmup_epochs", 0) > epochs:
        yield (
            f"{above}training.warmup_epochs: expected at most training.epochs ({epochs}),"
            f" found {training['warmup_epochs']}"
        )
    given = config.get("network", {}).get("weights") is not None
    for stage in map(str, config.get("stages", [])):
        if stage.isdigit() and int(stage) > epochs and not given:
            yield (
                f"stages: expected epochs of the training, at most {epochs}"
                f" ({above}training.epochs), found {stage}"
            )
    data = config.get("data", {})
    if data.get("name", "mnist_5k") != "mnist_5k" and data.get("root") is None:
        yield f"{above}data.root: expected the folder that holds {data['name']}'s files, found null"
