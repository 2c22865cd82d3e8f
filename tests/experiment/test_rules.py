"""The rule files declare rules, with the flags that every input and output needs."""

import re
from pathlib import Path

import pytest
from experiment.plans import paths_of

from subspace_match.experiment.code_inputs import PROJECT

FILES = sorted((PROJECT / "rules").glob("*.smk"))
TEXTS = {
    name: body
    for file in FILES
    for name, body in re.findall(
        r"^rule (\w+):\n(.*?)(?=^\S|\Z)",
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
    assert [text for text in statements if not re.match(r"rule \w+", text)] == []


@pytest.mark.parametrize("rule", TEXTS)
def test_every_input_ignores_modification_times(rule: str) -> None:
    assert not re.search(r"PLAN|rules\.", without_calls("any_age", section(rule, "input")))


@pytest.mark.parametrize("rule", TEXTS)
def test_every_output_stays_until_its_successor_is_complete(rule: str) -> None:
    outputs, of_stores = section(rule, "output"), 'for store in PLAN.paths.stores("{network}")'
    flagged = without_calls("update", outputs)
    assert not re.search(r"PLAN\.paths", flagged.replace(of_stores, ""))
    # Snakemake deletes the record with its outputs, and without it they do not count.
    record = r"^ {8}provenance=\[?\s*update\(\s*PLAN\.paths\.record\("
    assert re.search(record, outputs, re.MULTILINE)
    log = re.search(r"^        PLAN\.paths\.log\((.*)\),?$", TEXTS[rule], re.MULTILINE)
    assert log is not None
    if of_stores in outputs:
        # A store has its own record; the first store, of which the log is, is always made.
        assert f"update(PLAN.paths.record(store)) {of_stores}" in outputs
        paths = paths_of({"heat_map": {"positions": 0}})
        assert log[1] == 'PLAN.paths.activations("{network}")'
        assert paths.stores("n") == [paths.activations("n")]
        both = paths_of({"heat_map": {"positions": 9}})
        assert both.stores("n") == [both.activations("n"), both.heat_map_activations("n")]
    else:
        assert f"PLAN.paths.record({log[1]})" in outputs
