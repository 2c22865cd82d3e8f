"""Examples run as written; numbers of examples are right; what the documents name exists."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from models import cnn, loader
from needs import needed

import subspace_match as sm
from subspace_match.comparison.tables import matches_of, names_of
from subspace_match.experiment.config import validated
from subspace_match.matching.validation import FewSamplesWarning
from subspace_match.results.many_networks import (
    consensus_table,
    network_matrix_table,
    universality_table,
)
from subspace_match.results.registry import TABLES
from subspace_match.results.tables import (
    LayerResult,
    output_table,
    top_image_table,
    within_network_table,
)

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
EXAMPLES = {
    name: re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
    for name in ("README.md", "docs/arrays.md", "docs/networks.md")
}
DOCUMENTS = [
    "README.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
KEY = (  # "extraction.nodes" or "training: {task"
    r"`(data|network|training|extraction|matching|minimal_matches|chance|heat_map|figures)"
    r"(?:\.|: \{)(\w+)"
)
MADE_BY_COMPARE = (
    *("networks", "similarity", "summary", "differences", "neurons", "measures", "left_out"),
    *("minimal_matches", "minimal_match_members", "null", "heat_map"),
)


def test_the_example_gives_what_its_comments_say() -> None:
    names: dict = {}
    exec(EXAMPLES["docs/arrays.md"][0], names)  # text of this project
    path = names["path"]
    assert path.similarity([0.1, 0.3]).tolist() == [0.625, 0.625]
    assert path.maximum_match(0.3).x.tolist() == list(range(40))
    assert path.maximum_match(0.3).y.tolist() == list(range(40))


def test_the_further_examples_of_arrays_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for example in EXAMPLES["docs/arrays.md"]:
        exec(example, names)  # text of this project
    assert names["halves"].images == (250, 250)
    assert names["p_value"] == 0.05
    written = pd.read_csv("minimal_matches.csv")
    assert list(zip(written["side"], written["neuron"], strict=True)) == list(names["found"])


@pytest.mark.filterwarnings("ignore::subspace_match.matching.validation.FewSamplesWarning")
def test_the_example_of_a_comparison_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {"model_a": cnn(0), "model_b": cnn(1), "loader": loader(100)}
    exec(EXAMPLES["README.md"][0], names)
    table = names["result"].similarity(0.3)
    for column in ("layer", "similarity", "null_threshold", "p_value", "linear_cka"):
        assert table[column].notna().all()
    written = {path.name for path in (tmp_path / "comparison").iterdir()}
    assert written >= {"tables", "figures", "matches.npz"}


@pytest.mark.filterwarnings("ignore::subspace_match.matching.validation.FewSamplesWarning")
def test_the_example_of_language_models_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On tiny models in folders with the names of the published ones, so nothing is downloaded."""
    transformers, tokenizers = needed("transformers"), needed("tokenizers")
    words = {"[UNK]": 0, "<|endoftext|>": 1, **{letter: 2 + n for n, letter in enumerate("abc")}}
    letters = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    letters.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=letters, unk_token="[UNK]", eos_token="<|endoftext|>"
    )
    for name, layers in (("gpt2", 2), ("distilgpt2", 1)):
        config = transformers.GPT2Config(
            n_layer=layers, n_embd=4, n_head=2, vocab_size=5, bos_token_id=1, eos_token_id=1
        )
        transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    names: dict = {"texts": ["abc" * (1 + n % 3) for n in range(40)]}
    exec(EXAMPLES["docs/networks.md"][0], names)
    table = names["result"].similarity(0.3)
    assert table["layer"].tolist() == ["block1"]
    assert table["p_value"].notna().all()


def counter_examples() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The pairs of layers of docs/measures.md, by the first words of their rows."""
    rng, neurons, samples = np.random.default_rng(0), 40, 5_000

    def normal(width: int = neurons) -> np.ndarray:
        return rng.normal(size=(samples, width))

    loud, shared, z = 10 * normal(1), normal(5), normal()
    weights = [rng.normal(size=(5, neurons)) / 5**0.5 for _ in range(2)]
    return {
        "a loud direction": (
            np.hstack([loud, normal(neurons - 1)]),
            np.hstack([loud, normal(neurons - 1)]),
        ),
        "a shared subspace": (
            shared @ weights[0] + 0.5 * normal(),
            shared @ weights[1] + 0.5 * normal(),
        ),
        "an invertible mix": (z, z @ rng.normal(size=(neurons, neurons))),
        "relu(z) against": (np.maximum(z, 0), np.maximum(-z, 0)),
        "the same before": (z, -z),
    }


def measured(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    path = sm.match_path(sm.reduce(x, y))
    others = sm.all_measures(path.pair)
    named = {"linear CKA": "linear_cka", "mean CCA": "mean_cca", "one-to-one": "one_to_one"}
    values = {column: float(others[key]) for column, key in named.items()}
    return values | {"match at 0.3": float(path.similarity(0.3)), "area": path.area}


@pytest.mark.parametrize(("file", "count"), [("README.md", 4 * 3), ("docs/measures.md", 5 * 5)])
def test_the_table_of_measures_has_the_numbers_of_its_examples(file: str, count: int) -> None:
    text = (ROOT / file).read_text().partition("<!-- counter-examples -->\n")[2]
    head, _, *rows = [
        line.strip("| ").split(" | ") for line in text.partition("\n\n")[0].split("\n")
    ]
    checked = 0
    for name, layers in counter_examples().items():
        computed = measured(*layers)
        for row in (row for row in rows if row[0].startswith(name)):
            for column, printed in zip(head, row, strict=True):
                if column in computed:
                    assert abs(float(printed) - computed[column]) < 0.0051, (name, column)
                    checked += 1
    assert checked == count


def test_minimal_matches_show_an_invertible_mix() -> None:
    path = sm.match_path(sm.reduce(*counter_examples()["an invertible mix"]))
    sizes = {len(match.x) + len(match.y) for match in sm.minimal_matches(path, 0.1).values()}
    assert sizes == {80}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_file_that_a_document_names_exists(name: str) -> None:
    document, folder = (ROOT / name).read_text(), (ROOT / name).parent
    named = re.findall(r"`((?:config|tests|subspace_match|benchmarks|docs)/[\w/.]+)`", document)
    named += re.findall(r"--configfile (config/\w+\.yaml)", document)
    named += [f"config/{file}" for file in re.findall(r"`(\w+_\w+\.yaml)`", document)]
    assert {one for one in named if not (ROOT / one).exists()} - {"config/mine.yaml"} == set()
    links = re.findall(r"\]\(([\w/.]+\.(?:png|svg|md))(?:#([\w-]+))?\)", document)
    for file, anchor in links:
        assert (folder / file).exists()
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (folder / file).read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]
            assert anchor in anchors


def test_every_key_that_a_document_sets_is_in_the_configuration() -> None:
    sections = validated({})
    documents = "".join((ROOT / name).read_text() for name in DOCUMENTS)
    keys = re.findall(KEY, documents)
    assert len(keys) > 10
    assert [(section, key) for section, key in keys if key not in sections[section]] == []


def test_every_rule_is_in_the_table_of_what_a_change_re_runs() -> None:
    rules = [
        rule
        for file in (ROOT / "rules").glob("*.smk")
        for rule in re.findall(r"^rule (\w+)", file.read_text(), re.MULTILINE)
    ]
    page = (ROOT / "docs/changes.md").read_text()
    assert len(rules) > 15
    assert [rule for rule in rules if not re.search(rf"\b{rule}\b", page)] == []


def test_every_column_of_every_table_is_explained() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewSamplesWarning)
        made = sm.compare(cnn(0), cnn(1), loader(60), permutations=19, device="cpu")
    columns = {name: set(made.to_frame(name)) for name in MADE_BY_COMPARE}
    names, grid = names_of(made.models), validated({})["matching"]["epsilons"]
    results = [LayerResult(names, match) for match in matches_of(names, made.layers).values()]
    networks = [{"model": name, "seed": -1, "stage": ""} for name in (names.model_a, names.model_b)]
    columns |= {
        "top_images": set(top_image_table([])),
        "universality": set(universality_table(results, [], grid)),
        "consensus": set(consensus_table([], grid)),
        "within_networks": set(within_network_table([], grid)),
        "outputs": set(output_table([], {}, {})),
        "network_matrix": set(network_matrix_table(made.to_frame("similarity"), networks)),
    }
    assert columns.keys() == TABLES.keys()
    page = (ROOT / "docs/tables.md").read_text()
    general, *sections = re.split(r"^## `(\w+)`.*$", page, flags=re.MULTILINE)
    for name, text in zip(sections[::2], sections[1::2], strict=True):
        found = {re.sub(r"^share_.*", "share_0.3", column) for column in columns.pop(name)}
        assert found - set(re.findall(r"`(\S+)`", general + text)) == set(), name
        cells = re.findall(r"^\| (`.*?`)[^|`]*\|", text, re.MULTILINE)
        assert set(re.findall(r"`(\S+)`", " ".join(cells))) - found == set(), name
    assert columns == {}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_citations_name_this_version() -> None:
    pattern = r"^ *version *[=:] *[\"{]?([\d.]+\d)"
    files = ("pyproject.toml", "CITATION.cff", "README.md", "docs/cite.md")
    found = [re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE) for file in files]
    assert found == [found[0]] * 4
    assert len(found[0]) == 1


def homes(name: str) -> list[Path]:
    """Return where a file of the guide can be; a file to add, NAME, needs only its folder."""
    paths = [ROOT / "subspace_match" / name, ROOT / name]
    return [path.parent if "NAME" in path.stem else path for path in paths]


def test_each_task_of_the_contributing_guide_touches_at_most_three_files() -> None:
    tasks = dict(re.findall(r"^\| (.*) \| (.*/.*) \|$", CONTRIBUTING, re.MULTILINE))
    assert len(tasks) >= 10
    files = {task: re.findall(r"`([\w/]+/[\w.]+)`", cell) for task, cell in tasks.items()}
    assert [task for task in tasks if not 1 <= len(files[task]) <= 3] == []
    named = [name for own in files.values() for name in own]
    assert [name for name in named if not any(home.exists() for home in homes(name))] == []
