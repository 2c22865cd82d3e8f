"""The closing lines say what the tables say, of all layers, and no more."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from subspace_match.results.findings import closing_lines, first_epsilon, similarity_words
from subspace_match.results.tables import network_table

COLUMNS = ("layer", "similarity", "p_value", "class_p_value", "class_null_threshold")


def summary(*rows: tuple[Any, ...], **more: Any) -> pd.DataFrame:
    """Return the columns that matter: a row is layer, similarity and three columns of chance."""
    made = pd.DataFrame(rows, columns=COLUMNS).assign(depth=range(1, len(rows) + 1))
    known = {"comparison": "last", "epsilon": 0.3, "pairs": 1, "few_samples": False}
    return made.assign(**known, cross_fitted=made["similarity"]).assign(**more)


NAN = float("nan")


def only_words(table: pd.DataFrame, epsilon: float) -> list[str]:
    """Return the sentences about the only comparison."""
    (words,) = similarity_words(table, epsilon).values()
    return words


def test_all_layers_are_described_by_how_much_they_share() -> None:
    table = summary(
        *(("a", 0.77, 0.01, 0.01, 0.1), ("b", 0.25, 0.01, 0.01, 0.24), ("c", 0, 1, 1, 0)),
        *(("d", 0, 1, 1, 0), ("e", 0, 1, 1, 0), ("f", 0.94, 0.01, 0.2, 0.95)),
        *(("g", 1, 0.2, 0.2, 1), ("h", 0.05, NAN, NAN, NAN), ("i", 0.5, 0.01, NAN, NAN)),
    )
    words = only_words(table, 0.3)
    assert words == [
        "At epsilon 0.3 the two networks share nearly all neurons in f (94.0%), most in a and i"
        " (50.0% to 77.0%), some in b (25.0%), few in h (5.0%) and none in c to e; what matches in"
        " g (100%) is not more than chance explains.",
        "In a it is more than chance and labels alone explain; in b labels alone explain at least"
        " nine tenths of it; in f it is not more than labels alone explain; in i it is more than"
        " chance explains (what labels explain is unknown); in h the chance level is unknown.",
    ]


def test_what_chance_alone_gives_is_not_called_shared() -> None:
    rows = ("a", 0.9, 0.2, NAN, NAN), ("b", 0.0, 1, NAN, NAN), ("c", 1.0, 1, NAN, NAN)
    assert only_words(summary(*rows), 0.3) == [
        "At epsilon 0.3 the two networks share no neurons in any layer beyond chance; what matches"
        " in a and c (90.0% to 100%) is not more than chance explains."
    ]
    (several,) = only_words(summary(*rows, pairs=3), 0.3)
    assert "of a pair share no neurons in any layer beyond chance in every pair;" in several
    assert several.endswith("(90.0% to 100%) is not in every pair more than chance explains.")
    (nothing,) = only_words(summary(rows[1]), 0.3)
    assert nothing == "At epsilon 0.3 the two networks share no neurons in any layer."


def test_every_comparison_of_a_few_is_described_and_of_many_the_first_and_the_last() -> None:
    layer = ("a", 0.6, 0.01, 0.01, 0.1)
    stages = [summary((layer[0], n / 10, *layer[2:]), comparison=f"s{n}") for n in range(5)]
    assert similarity_words(pd.concat(stages[:2]), 0.3) == {
        "s0": ["At epsilon 0.3 the two networks (s0) share no neurons in any layer."],
        "s1": [
            "At epsilon 0.3 the two networks (s1) share some neurons in a (10.0%).",
            "In a labels alone explain at least nine tenths of it.",
        ],
    }
    words = similarity_words(pd.concat(stages), 0.3)
    assert {name: first.split(" share ")[0] for name, (first, *_) in words.items()} == {
        name: f"At epsilon 0.3 the two networks ({name})" for name in ("s0", "s4")
    }


def test_the_terminal_says_once_of_which_comparison_chance_is() -> None:
    rows = ("a", 0.2, 0.01, 0.01, 0.1), ("b", 0.2, NAN, NAN, NAN)
    stages = [summary(*rows, comparison=name) for name in ("initial", "last")]
    table = pd.concat([summary(("a", 0, 1, 1, 0), comparison="first"), *stages])
    nothing = dict.fromkeys(("similarity", "measures"), pd.DataFrame())
    with patch("subspace_match.results.findings.warnings_of", return_value=[]):
        line = closing_lines({"summary": table, **nothing}, None, None)[1]
    words = (
        "In a it is more than chance and labels alone explain; in b the chance level is unknown."
    )
    assert line == f"Chance:     initial: {words} last: {words}"


def test_one_word_for_all_layers_and_a_count_of_very_many() -> None:
    same = summary(("a", 0.6, NAN, NAN, NAN), ("b", 0.7, NAN, NAN, NAN), pairs=3)
    first, _ = only_words(same, 0.3)
    expected = "the networks of a pair match most neurons in every layer (60.0% to 70.0%)."
    assert first == f"At epsilon 0.3 {expected}"
    names = [f"l{n}" for n in range(20)]
    many = summary(*((name, float(n % 2), NAN, NAN, NAN) for n, name in enumerate(names)))
    first, _ = only_words(many, 0.3)
    assert (
        "match nearly all neurons in 10 of 20 layers (100%) and none in 10 of 20 layers." in first
    )


def test_minimal_matches_may_have_an_epsilon_that_the_grid_lacks() -> None:
    table = pd.concat([summary(("a", 0.6, NAN, NAN, NAN)).assign(epsilon=e) for e in (0.1, 0.25)])
    minimal = pd.DataFrame({"epsilon": [0.3]})
    nothing = dict.fromkeys(("similarity", "measures"), pd.DataFrame())
    with patch("subspace_match.results.findings.warnings_of", return_value=[]):
        tables = {"summary": table, "minimal_matches": minimal, **nothing}
        first, *_ = closing_lines(tables, None, None)
    assert first.startswith("Similarity: At epsilon 0.25 the two networks match most neurons")


def test_where_nothing_matches_the_area_is_given_with_its_chance_level() -> None:
    known = {"area": [0.46, 0.2], "area_null_threshold": [0.1, 0.2], "area_p_value": [0.01, 1]}
    nothing = dict.fromkeys(("similarity", "measures"), pd.DataFrame())
    lines = []
    for more in (known, known | {"area_null_threshold": np.nan, "area_p_value": np.nan}):
        table = summary(("a", 0, 1, 1, 0), ("b", 0, 1, 1, 0), **more)
        with patch("subspace_match.results.findings.warnings_of", return_value=[]):
            lines.append(closing_lines({"summary": table, **nothing}, None, None)[1])
    first = "Chance:     Nothing more matches at this epsilon. The area under all epsilons is 20.0%"
    assert lines == [
        f"{first} to 46.0%, and more than chance (10.0% to 20.0%) in a.",
        f"{first} to 46.0%; the chance level is unknown.",
    ]


def test_few_images_are_named_with_what_they_add() -> None:
    rows = ("a", 0.6, 0.01, 0.01, 0.1), ("b", 0.7, 0.01, 0.01, 0.1)
    table = summary(*rows, few_samples=[False, True], cross_fitted=[0.6, 0.65])
    assert only_words(table, 0.3)[-1] == (
        "In b there are few images for the neurons; the cross-fitted similarity is at most 5.0"
        " points lower."
    )
    both = summary(*rows, few_samples=[True, True], cross_fitted=[0.6, np.nan])
    assert only_words(both, 0.3)[-1].endswith(
        "; the cross-fitted similarity is as high, and unknown in b."
    )
    unknown = only_words(table.assign(cross_fitted=np.nan), 0.3)[-1]
    assert unknown.endswith("; the cross-fitted similarity is unknown.")


def test_the_lines_that_end_a_run() -> None:
    table = summary(("a", 0.6, 0.01, 0.01, 0.1))
    similarity = pd.DataFrame(
        {"layer": ["a"], "epsilon": 0.3, "verified": False, "certain": True, "few_samples": False}
    ).assign(note="", permutations=99, margin=1.0, depth=1, neurons_per_image=0.1)
    similarity = similarity.assign(area=0.6, cross_fitted_area=0.6, images=100)
    measures = pd.DataFrame({"layer": ["a"], "measure": "linear_cka", "note": "", "depth": 1})
    tables = {"summary": table, "similarity": similarity, "measures": measures}
    tables["networks"] = network_table({})
    lines = closing_lines(tables, "r/report.html", "r")
    names = [line.split(":")[0] for line in lines]
    assert names == ["Similarity", "Chance", "Warnings", "Page", "Files"]
    assert lines[2].startswith("Warnings:   1; the first: a at epsilon 0.3: a fresh factorisation")
    assert "r/report.html" in lines[3]
    assert lines[4].endswith("subspace-match report r OTHER")


def test_the_epsilon_is_that_of_minimal_matches_or_the_middle_of_the_grid() -> None:
    table = pd.DataFrame({"epsilon": [0.1, 0.3, 0.2]})
    assert first_epsilon({"summary": table}) == 0.2
    minimal = pd.DataFrame({"epsilon": [0.1, 0.3]})
    assert first_epsilon({"summary": table, "minimal_matches": minimal}) == 0.3
