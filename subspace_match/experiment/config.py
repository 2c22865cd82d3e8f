"""The configuration, checked against its schema and completed with defaults.

``schema.yaml`` gives the type, range and default of every key. ``validated`` returns the complete
configuration, or raises an error with one line per fault; ``read_config`` reads the files.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..data.catalogue import SOURCES
from ..matching.epsilons import EPSILONS
from ..matching.permutation_counts import check_permutations
from .plain_yaml import as_number, read_yaml

Config = dict[str, Any]
MODEL_SECTIONS = ("data", "network", "training")  # sections that a model may override


@functools.cache
def schema() -> dict[str, Any]:
    """Return ``schema.yaml`` with the values that other modules define."""
    text = Path(__file__).with_name("schema.yaml").read_bytes()
    # Every run reads it. libyaml is ten times as fast, but not all of PyYAML's packages have it.
    found: dict[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    known = found["properties"]
    known["matching"]["properties"]["epsilons"]["default"] = list(EPSILONS)
    known["data"]["properties"]["name"]["enum"] = list(SOURCES)
    _refuse_unknown_keys(found)
    return found


def _refuse_unknown_keys(part: Any) -> None:
    if isinstance(part, dict):
        if isinstance(part.get("properties"), dict):
            part |= {"type": "object", "additionalProperties": False}
        for inner in part.values():
            _refuse_unknown_keys(inner)


def read_config(files: Sequence[str | Path], overrides: Mapping[str, Any] | None = None) -> Config:
    """Return the complete configuration of several files and values.

    Args:
        files: later ones override earlier ones. The first may be missing if there are others.
        overrides: keys and values that override all files.

    Raises:
        ValueError: if a file cannot be read, the configuration does not fit the schema, or
            ``results`` is not a folder.
    """
    default, *others = map(Path, files)
    if not others and not default.exists():
        raise ValueError(
            f"{default}: expected the configuration in the working folder, found none in"
            f" {Path.cwd()}; run in the project's folder, or name a file with --configfile"
        )
    config: Config = {}
    for file in ([default] if default.exists() else []) + others:
        config = merged(config, read_yaml(file))
    complete = validated(merged(config, overrides or {}))
    _expand_homes(complete)
    results = Path(complete["results"])
    existing = next(path for path in (results, *results.parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"config: results: expected a folder, found the file {existing}")
    return complete


def merged(config: Mapping[str, Any], more: Mapping[str, Any]) -> Config:
    """Return a configuration with overrides, key by key in each section."""
    result = dict(config)
    for key, value in more.items():
        own = result.get(key)
        nested = isinstance(own, Mapping) and isinstance(value, Mapping)
        result[key] = merged(own, value) if nested else value  # type: ignore[arg-type]
    return result


def differences(config: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that differs from the default.

    Example:
        >>> differences({"seeds": [0, 2], "data": {"name": "mnist", "workers": 2}},
        ...             {"seeds": [0, 1], "data": {"name": "mnist_5k", "workers": 2}})
        {'seeds': [0, 2], 'data': {'name': 'mnist'}}
    """
    differing: dict[str, Any] = {}
    for key, value in config.items():
        other = default.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping) and other:
            if own := differences(value, other):
                differing[key] = own
        elif value != other:
            differing[key] = value
    return differing


def _expand_homes(config: Config) -> None:
    """Replace ~ by the home folder, as a shell does."""
    models = config["models"].values()
    settings = [(config, "results")]
    data = [part["data"] for part in (config, *models) if "data" in part]
    settings += [(part, key) for part in data for key in ("root", "tokenizer")]
    settings += [(part["network"], "weights") for part in (config, *models) if "network" in part]
    for section, key in settings:
        # The spelling of a path is part of digests, so other paths stay as they are.
        if (path := section.get(key)) is not None and path.startswith("~"):
            try:
                section[key] = str(Path(path).expanduser())
            except RuntimeError as error:
                raise ValueError(
                    f"config: {key}: expected the home folder of a user, found {path!r} ({error})"
                ) from error


def validated(config: Mapping[str, Any]) -> Config:
    """Return a configuration completed with defaults, if it fits the schema.

    Integers become floats where the schema says "number", so that 1 and 1.0 are the same
    configuration.

    Raises:
        ValueError: one line per fault: a renamed key with its new name, an unknown key with the
            nearest known one, a wrong value with what was expected.

    Example:
        >>> validated({"seed": 3})
        Traceback (most recent call last):
        ValueError: config: unknown key 'seed'; the nearest known key is 'seeds'
    """
    faults = list(_wrong_keys(config))
    complete: Config = {} if faults else _with_defaults(config, schema())
    # Each check needs a configuration that passed those before it.
    for check in (_schema_faults, _model_faults, _conflicts):
        faults = faults or list(check(complete))
    if faults:
        # Models that start from each other share their faults.
        raise ValueError("\n".join(f"config: {fault}" for fault in dict.fromkeys(faults)))
    return complete


def _wrong_keys(value: Any, prefix: str = "") -> Iterator[str]:
    """Yield a fault for each key that is not a string, and for the one renamed key."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if f"{prefix}{key}" == "heat_map.places":
                yield "heat_map.places was renamed to heat_map.positions"
            if not isinstance(key, str):
                where = f"{prefix.removesuffix('.')}: " if prefix else ""
                yield f"{where}expected strings as keys, found {key!r}; write it in quotes"
            yield from _wrong_keys(part, f"{prefix}{key}.")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _wrong_keys(part, f"{prefix}{number}.")


def _with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    if "properties" in schema and isinstance(value, Mapping):
        known = schema["properties"]
        filled = {
            # A section without keys of its own has the default values of its keys.
            key: _with_defaults(value.get(key, part.get("default", {})), part)
            for key, part in known.items()
        }
        return filled | {key: other for key, other in value.items() if key not in known}
    if schema.get("type") == "array" and isinstance(value, list):
        return [_with_defaults(item, schema.get("items", {})) for item in value]
    return _as_number(value, schema.get("type"))


def _schema_faults(config: Config) -> Iterator[str]:
    for error in _errors(config, schema()):
        yield from _describe(error)


def _model_faults(config: Config) -> Iterator[str]:
    """Yield the faults of all models; convert their values to the types of the schema."""
    for name, model in config["models"].items():
        for section in (each for each in MODEL_SECTIONS if each in model):
            part = schema()["properties"][section]
            model[section] = {
                key: _with_defaults(value, part["properties"].get(key, {}))
                for key, value in model[section].items()
            }
            for error in _errors(config[section] | model[section], part):
                yield from _describe(error, f"models.{name}.{section}.")


def _as_number(value: Any, types: Any) -> Any:
    """Convert a string to a number where the schema wants one.

    Snakemake's --config passes items of a list as strings, and YAML 1.1 reads 5e-4 as a string.
    """
    wanted = {types} if isinstance(types, str) else set(types or ())
    convert = int if "integer" in wanted else float if "number" in wanted else None
    if convert is None or "string" in wanted or isinstance(value, bool):
        return value
    if isinstance(value, str):
        found = as_number(value, convert)
        return value if found is None else found
    if isinstance(value, int) and convert is float:
        try:
            return float(value)
        except OverflowError:
            return math.inf  # refused later
    return value


def _is_integer(_checker: Any, value: Any) -> bool:
    # 2.0 and 2 would have different digests.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_checker: Any, value: Any) -> bool:
    return _is_integer(_checker, value) or (isinstance(value, float) and math.isfinite(value))


@functools.cache
def _validator_class() -> Any:
    import jsonschema  # jobs get a configuration that is validated

    plain = jsonschema.Draft202012Validator
    types = plain.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number})
    return jsonschema.validators.extend(plain, type_checker=types)  # type: ignore[no-untyped-call]


def _errors(config: Config, schema: Mapping[str, Any]) -> list[Any]:
    validator = _validator_class()(schema)
    return sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))


def _describe(error: Any, above: str = "") -> Iterator[str]:
    where = above + ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        prefix = f"{where.removesuffix('.')}." if where else ""
        for key in sorted(set(error.instance) - set(known), key=str):
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)[0]
            yield f"unknown key '{prefix}{key}'; the nearest known key is '{prefix}{near}'"
    else:
        # Maxima only exclude absurd values, so a message names one only if it is exceeded.
        shown = {k: v for k, v in error.schema.items() if k != "maximum" or k == error.validator}
        yield f"{where}: expected {expected(shown)}, found {error.instance!r}"


def expected(schema: Mapping[str, Any]) -> str:
    """Describe the values that a part of the schema allows.

    Example:
        >>> expected({"type": "integer", "minimum": 1})
        'a whole number >= 1'
        >>> expected({"type": ["integer", "null"], "minimum": 1})
        'a whole number >= 1, or null'
    """
    if "description" in schema:
        return str(schema["description"])
    if "enum" in schema:
        return "one of " + ", ".join("null" if one is None else str(one) for one in schema["enum"])
    types = schema.get("type", "a value")
    types = types if isinstance(types, list) else [types]
    nouns = {"integer": "a whole number", "number": "a number", "array": "a list"}
    nouns |= {"object": "keys and values", "boolean": "true or false", "string": "a string"}
    words = [" or ".join(nouns.get(str(name), str(name)) for name in types if name != "null")]
    bounds = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    words += [
        " and ".join(f"{sign} {schema[key]}" for key, sign in bounds.items() if key in schema)
    ]
    if "minItems" in schema:
        words.append(f"with at least {schema['minItems']} value")
    if schema.get("uniqueItems"):
        words.append("without repetition")
    return " ".join(filter(None, words)) + (", or null" if "null" in types else "")


def _conflicts(config: Config) -> Iterator[str]:
    """Yield faults between keys, which a schema cannot express."""
    models = config["models"]
    yield from _unused_roots(config)
    yield from _section_conflicts("", config)
    for name, model in models.items():
        yield from _section_conflicts(f"models.{name}.", config | sections_of(model, config))
        seen = [name]
        while (start := models.get(seen[-1], {}).get("start")) is not None:
            if start not in models:
                yield f"models.{seen[-1]}.start: expected one of {list(models)}, found {start!r}"
            elif start in seen:
                yield f"models.{name}.start: expected a model that does not start from this one"
            if start not in models or start in seen:
                break
            seen.append(start)
    if isinstance(permutations := config["chance"]["permutations"], int):
        try:
            check_permutations("chance.permutations", permutations)
        except ValueError as error:
            yield str(error)
    heat_map = config["heat_map"]
    if heat_map["within_networks"] and not heat_map["positions"]:
        yield "heat_map.positions: expected at least 1 for heat_map.within_networks, found 0"
    stages = list(map(str, config["stages"]))
    if len(set(stages)) < len(stages):
        yield f"stages: expected a list without repetition, found {config['stages']}"
    known = list(models) or ["base"]
    for number, entry in enumerate(config["compare"]):
        where = f"compare.{number}"
        for name in sorted(set(entry["models"]) - set(known)):
            yield f"{where}.models: expected two of {known}, found {name!r}"
        if isinstance(entry["stages"], list):
            for stage in sorted(set(map(str, entry["stages"])) - set(stages)):
                yield f"{where}.stages: expected two of {stages}, found {stage!r}"


def _unused_roots(config: Config) -> Iterator[str]:
    """Yield a fault for each ``root`` that no data set needs, as if ``name`` had been forgotten."""
    sections = {"data": config["data"]}
    for name, model in config["models"].items():
        sections[f"models.{name}.data"] = sections_of(model, config)["data"]
    for root in dict.fromkeys(section["root"] for section in sections.values()):
        names = {where: own["name"] for where, own in sections.items() if own["root"] == root}
        if root is not None and all(SOURCES[name].own_root for name in names.values()):
            where = next(iter(names))
            yield (
                f"{where}.root: expected null for {names[where]}, which has no files there, found"
                f" {root!r}; name the data set of that folder in {where}.name, such as image_folder"
            )


def sections_of(model: Config, config: Config) -> Config:
    """Return data, network and training of a model: the configuration with its overrides."""
    return {section: config[section] | model.get(section, {}) for section in MODEL_SECTIONS}


def _section_conflicts(above: str, config: Config) -> Iterator[str]:
    """Yield faults between the sections of one model."""
    data, network, training = (config[section] for section in MODEL_SECTIONS)
    epochs, size = training["epochs"], data["image_size"]
    if training["warmup_epochs"] > epochs:
        yield (
            f"{above}training.warmup_epochs: expected at most training.epochs ({epochs}),"
            f" found {training['warmup_epochs']}"
        )
    if training["crop_padding"] > size:
        yield (
            f"{above}training.crop_padding: expected at most data.image_size ({size}),"
            f" found {training['crop_padding']}"
        )
    for stage in map(str, config["stages"]):
        if stage.isdigit() and int(stage) > epochs and network["weights"] is None:
            yield (
                f"stages: expected epochs of the training, at most {epochs}"
                f" ({above}training.epochs), found {stage}"
            )
    mean, std = network["mean"] or [], network["std"] or []
    if len(mean) != len(std):
        yield (
            f"{above}network.std: expected one for each channel, as many as network.mean has"
            f" ({len(mean)}), found {len(std)}"
        )
    elif mean and network["weights"] is None:
        yield (
            f"{above}network.mean, network.std: expected none without network.weights, found some;"
            " networks that are trained here get the mean and deviation of their training images"
        )
    source, task = SOURCES[data["name"]], training["task"]
    if not source.own_root and data["root"] is None:
        yield f"{above}data.root: expected the folder that holds {data['name']}'s files, found null"
    known = schema()["properties"]["data"]["properties"]
    for key in ("train_images", "test_images", "random_labels", "shortcut"):
        # Texts have no labels, and images that stay in their files are not changed.
        if data[key] != (none := known[key]["default"]) and (
            source.text or (source.files and key == "shortcut")
        ):
            items = "texts" if source.text else "image files"
            yield (
                f"{above}data.{key}: expected {'null' if none is None else none} for {items}"
                f" ({data['name']}), found {data[key]}"
            )
    if network["weights"] is None and source.text != (task == "language_model"):
        wanted, items = ("language_model", "texts") if source.text else ("classify", "images")
        yield f"{above}training.task: expected {wanted} for {items} ({data['name']}), found {task}"
