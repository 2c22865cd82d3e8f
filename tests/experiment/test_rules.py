"""The rule files declare rules, with the flags that every input and output needs."""

import re
from pathlib import Path

import pytest

from subspace_match.experiment.code_inputs import PROJECT

FILES = sorted((PROJECT / "rules").glob("*.smk"))
TEXTS = {
    name: body
    for file in FILES
    for name, body in re.findall(
        r"^(?:use rule \w+ as|rule) (\w+)(?: with)?:\n(.*?)(?=^\S|\Z)",
        file.read_text(),
        re.MULTILINE | re.DOTALL,
    )
}


def section(rule: str, name: str) -> str:
    found = re.search(rf"^    {name}:\n(.*?)(?=^    \S|\Z)", TEXTS[rule], re.MULTILINE | re.DOTALL)
    return "" if found is None else found[1]


def without_calls(function: str, text: str) -> str:
    """Remove all calls of a function from a text."""
    while (start := text.find(f"{function}(")) >= 0:
        end, depth = start + len(function) + 1, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        text = text[:start] + text[end:]
    return text


def test_there_are_rules() -> None:
    assert len(TEXTS) >= 16


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_rule_file_declares_rules_and_nothing_else(file: Path) -> None:
    statements = re.findall(r"^[^\s#].*", file.read_text(), re.MULTILINE)
    assert [text for text in statements if not re.match(r"(use )?rule \w+", text)] == []


@pytest.mark.parametrize("rule", TEXTS)
def test_every_input_ignores_modification_times(rule: str) -> None:
    assert not re.search(r"PLAN|rules\.", without_calls("any_age", section(rule, "input")))


@pytest.mark.parametrize("rule", TEXTS)
def test_every_output_stays_until_its_successor_is_complete(rule: str) -> None:
    outputs = section(rule, "output")
    flagged = without_calls("update", outputs)
    assert not re.search(r"PLAN\.paths", flagged)
    # Snakemake deletes the record with its outputs, and without it they do not count.
    assert re.search(r"^ {8}provenance=update\(\s*PLAN\.paths\.record\(", outputs, re.MULTILINE)
    log = re.search(r"^        PLAN\.paths\.log\((.*)\),?$", TEXTS[rule], re.MULTILINE)
    assert log is not None
    assert f"PLAN.paths.record({log[1]})" in outputs
