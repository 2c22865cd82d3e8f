"""What every rule's inputs and outputs have to be flagged with."""

import re
from pathlib import Path

import pytest

RULES = Path(__file__).parents[2] / "rules"
TEXTS = {
    name: body
    for file in sorted(RULES.glob("*.smk"))
    for name, body in re.findall(
        r"^(?:use rule \w+ as|rule) (\w+)(?: with)?:\n(.*?)(?=^\S|\Z)",
        file.read_text(),
        re.MULTILINE | re.DOTALL,
    )
}


def section(rule: str, name: str) -> str:
    found = re.search(rf"^    {name}:\n(.*?)(?=^    \S|\Z)", TEXTS[rule], re.MULTILINE | re.DOTALL)
    return "" if found is None else found[1]


def outside(flag: str, text: str) -> str:
    """What is left of a text without the calls of a flag."""
    while (start := text.find(f"{flag}(")) >= 0:
        end, depth = start + len(flag) + 1, 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        text = text[:start] + text[end:]
    return text


def test_there_are_rules() -> None:
    assert len(TEXTS) >= 16


@pytest.mark.parametrize("rule", TEXTS)
def test_times_of_inputs_decide_nothing(rule: str) -> None:
    assert not re.search(r"PATHS|TABLES|rules\.", outside("standing", section(rule, "input")))


@pytest.mark.parametrize("rule", TEXTS)
def test_no_output_is_removed_before_its_successor_is_whole(rule: str) -> None:
    outputs = section(rule, "output")
    assert not re.search(r"PATHS\.", outside("update", outputs))
    # Without the record of its job nothing counts, and with Snakemake's outputs it goes.
    assert re.search(r"^        provenance=update\(PATHS\.record\(", outputs, re.MULTILINE)
    log = re.search(r"^        PATHS\.log\((.*)\),?$", TEXTS[rule], re.MULTILINE)
    assert log is not None
    assert f"PATHS.record({log[1]})" in outputs
