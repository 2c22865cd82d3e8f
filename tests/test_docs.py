"""What the documentation writes from the code is complete. ``make docs`` checks everything else."""

import doctest
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from needs import needed

import subspace_match as sm
from subspace_match.experiment.config import read_config, validated

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def from_code() -> ModuleType:
    needed("sphinx")
    spec = importlib.util.spec_from_file_location("from_code", DOCS / "_ext/from_code.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys(config: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in config.items():
        value = value[0] if key == "compare" else value
        if isinstance(value, dict) and value:
            yield from keys(value, f"{above}{key}.")
        else:
            yield above + key


def test_every_key_of_the_configuration_is_explained(from_code: ModuleType) -> None:
    sections = re.split(r"^## `?(\w+)`?$", from_code.tables(), flags=re.MULTILINE)[1:]
    rows = {
        f"{section}.{row[0]}".removeprefix("General."): row[1:]
        for section, text in zip(sections[::2], sections[1::2], strict=True)
        for row in re.findall(r"^\| `(\w+)` \| `(.*?)` \| (.+) \| (.+) \|$", text, re.MULTILINE)
    }
    of_models = {f"models.{key}" for key in ("start", "data", "network", "training")}
    assert set(rows) == (set(keys(validated({}))) - {"models"}) | of_models
    assert rows["training.momentum"] == (
        "0.9",
        r"a number \>= 0 and \< 1",
        "in \\[0, 1); for AdamW the first beta (the second is 0.999)",
    )
    assert rows["seeds"][2] == "one network per seed"
    assert rows["data.train_images"][1] == r"a whole number \>= 1, or null"
    assert rows["data.random_labels"][1] == "a number from 0 to 1"
    assert rows["models.start"][2].startswith("the model whose last weights")
    assert "None" not in from_code.tables()


def test_comments_go_on_below_their_key(from_code: ModuleType) -> None:
    text = "data:  # images\n  root: null  # a folder\n              # of files\nseeds: [0]\n"
    found = {"data": "images", "data.root": "a folder of files", "seeds": ""}
    assert from_code.comments(text) == found


def test_the_reference_has_every_public_name_once() -> None:
    pages = "".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    named = re.findall(r"^\.\. auto(?:function|class|exception):: (\w+)$", pages, re.MULTILINE)
    assert sorted(named) == sorted(set(sm.__all__) - {"__version__"})


@pytest.mark.filterwarnings("ignore::subspace_match.matching.validation.FewSamplesWarning")
@pytest.mark.parametrize("name", sorted(set(sm.__all__) - {"__version__"}))
def test_examples_of_the_library_run_alone(name: str) -> None:
    """As a reader pastes them: an example imports what it uses, from ``subspace_match`` itself."""
    found = getattr(sm, name)
    of_name = doctest.DocTestFinder().find(found, name, globs={})
    examples = [test for test in of_name if test.examples]
    assert examples or isinstance(found, type), "a public function without an example"
    for test in examples:
        written: list[str] = []
        assert doctest.DocTestRunner().run(test, out=written.append).failed == 0, "".join(written)
        assert "from subspace_match" not in "".join(one.source for one in test.examples)


def test_the_run_of_the_tutorial_has_the_columns_of_a_run() -> None:
    """Made again with ``snakemake --configfile docs/tutorials/run.yaml`` if a column is renamed."""
    explained = set(re.findall(r"`(\S+?)`", (DOCS / "tables.md").read_text()))
    tables = sorted((DOCS / "tutorials/run/tables").glob("*.parquet"))
    assert len(tables) == 7
    for table in tables:
        found = {re.sub(r"^share_.*", "share_0.3", name) for name in pd.read_parquet(table)}
        assert found - explained == set(), table.name
    assert read_config([DOCS.parent / "config/config.yaml", DOCS / "tutorials/run.yaml"])
