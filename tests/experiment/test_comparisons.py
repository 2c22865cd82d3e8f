"""The pairs of networks that a configuration compares."""

from typing import Any

import pytest

from subspace_match.experiment.comparisons import Network, Pair, complete_groups, pairs_of
from subspace_match.experiment.config import validated


def pairs(**config: Any) -> list[Pair]:
    return pairs_of(validated(config))


def names(found: list[Pair]) -> list[tuple[str, ...]]:
    """Write each network as model.seed.stage."""
    return [tuple(f"{n.model}.{n.seed}.{n.stage}" for n in (pair.a, pair.b)) for pair in found]


def test_by_default_all_seeds_are_paired_the_smaller_first() -> None:
    found = pairs(seeds=[5, 0, 3])
    assert names(found) == [
        ("base.0.last", "base.3.last"),
        ("base.0.last", "base.5.last"),
        ("base.3.last", "base.5.last"),
    ]
    assert {pair.comparison for pair in found} == {"last"}
    assert found[0].a == Network("base", 0, "last")


def test_networks_are_paired_at_equal_stages() -> None:
    found = pairs(stages=["initial", 3, "last"])
    assert names(found) == [(f"base.0.{s}", f"base.1.{s}") for s in ("initial", "3", "last")]
    assert [pair.comparison for pair in found] == ["initial", "epoch 3", "last"]


def test_a_network_is_paired_with_its_own_earlier_stages() -> None:
    found = pairs(
        stages=["initial", 3, "last"], compare=[{"seeds": "same", "stages": "last"}], seeds=[7]
    )
    assert names(found) == [("base.7.initial", "base.7.last"), ("base.7.3", "base.7.last")]
    assert [pair.comparison for pair in found] == [
        "initial to last, same seed",
        "epoch 3 to last, same seed",
    ]


def test_two_stages_of_different_seeds_are_paired_in_both_orders() -> None:
    found = pairs(stages=["initial", "last"], compare=[{"stages": ["initial", "last"]}])
    assert names(found) == [
        ("base.0.initial", "base.1.last"),
        ("base.1.initial", "base.0.last"),
    ]


def test_two_models_are_paired_by_seed() -> None:
    found = pairs(
        models={"one": {}, "other": {"start": "one", "training": {"epochs": 3}}},
        compare=[
            {"models": ["one", "other"], "seeds": "same"},
            {"models": ["one", "other"], "seeds": "different"},
        ],
    )
    assert names(found) == [
        ("one.0.last", "other.0.last"),
        ("one.1.last", "other.1.last"),
        ("one.0.last", "other.1.last"),
        ("one.1.last", "other.0.last"),
    ]
    assert [pair.comparison for pair in found[1:3]] == [
        "one last to other last, same seed",
        "one last to other last",
    ]


def test_without_names_each_model_is_paired_with_itself() -> None:
    found = pairs(models={"one": {}, "other": {"network": {"width": 0.25}}})
    assert names(found) == [("one.0.last", "one.1.last"), ("other.0.last", "other.1.last")]


def test_a_pretrained_model_has_one_network_at_one_stage() -> None:
    models = {name: {"network": {"weights": f"{name}.pt"}} for name in ("one", "other")}
    found = pairs(models=models, compare=[{"models": ["one", "other"], "seeds": "all"}])
    assert names(found) == [("one.0.last", "other.0.last")]
    models["trained"] = {}
    found = pairs(
        models=models,
        stages=["initial", "last"],
        compare=[{"models": ["one", "trained"], "seeds": "all"}],
    )
    assert names(found) == [
        ("one.0.last", f"trained.{seed}.{stage}")
        for stage in ("initial", "last")
        for seed in (0, 1)
    ]


def test_a_pair_that_two_entries_select_appears_once() -> None:
    assert len(pairs(compare=[{}, {"seeds": "all"}])) == 1


@pytest.mark.parametrize(
    "config",
    [{"seeds": [0]}, {"compare": [{}, {"seeds": "same"}]}, {"compare": [{"stages": "last"}]}],
)
def test_an_entry_that_selects_no_pair_is_an_error(config: dict[str, Any]) -> None:
    number = len(config.get("compare", [1])) - 1
    with pytest.raises(ValueError, match=f"compare.{number}: expected at least one pair"):
        pairs(**config)


def test_networks_that_are_all_compared_form_a_group() -> None:
    """From three networks on, and only within a comparison that leaves out no pair."""
    found = complete_groups(pairs(seeds=[4, 0, 2], stages=["initial", "last"]))
    assert found == {
        stage: [Network("base", seed, stage) for seed in (0, 2, 4)] for stage in ("initial", "last")
    }
    assert complete_groups(pairs(seeds=[0, 1])) == {}
    same = {"seeds": "same", "stages": "last"}
    stages = ["initial", 1, 2, "last"]
    assert complete_groups(pairs(seeds=[0, 1, 2], stages=stages, compare=[same])) == {}
