"""Do two neural networks learn the same representation, and neuron by neuron, where?

Neuron activation subspace match (Wang et al., NeurIPS 2018, arXiv 1810.11750). Names are loaded on
first use, so that what needs no torch does not wait for it.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .matching.certificate import Certificate
    from .matching.layer_pairs import heat_map, layer_pairs
    from .matching.measures import (
        MeasureWarning,
        all_measures,
        debiased_linear_cka,
        linear_cka,
        linear_regression,
        mean_cca,
        one_to_one,
        procrustes,
        pwcca,
        svcca,
    )
    from .matching.minimal.exact import simple_matches
    from .matching.minimal.result import MinimalMatches
    from .matching.minimal.search import minimal_match, minimal_matches
    from .matching.path import Match, MatchPath, match_path, maximum_match
    from .matching.reduction.moments import PairMoments, reduce
    from .matching.ties import TieWarning
    from .matching.validation import FewSamplesWarning

try:
    __version__ = version("subspace-match")
except PackageNotFoundError:  # a source tree that is not installed
    __version__ = "0+unknown"

_HOME = {
    "heat_map": ".matching.layer_pairs",
    "layer_pairs": ".matching.layer_pairs",
    "all_measures": ".matching.measures",
    "debiased_linear_cka": ".matching.measures",
    "linear_cka": ".matching.measures",
    "linear_regression": ".matching.measures",
    "mean_cca": ".matching.measures",
    "one_to_one": ".matching.measures",
    "procrustes": ".matching.measures",
    "pwcca": ".matching.measures",
    "svcca": ".matching.measures",
    "Certificate": ".matching.certificate",
    "FewSamplesWarning": ".matching.validation",
    "MeasureWarning": ".matching.measures",
    "MinimalMatches": ".matching.minimal.result",
    "minimal_match": ".matching.minimal.search",
    "minimal_matches": ".matching.minimal.search",
    "simple_matches": ".matching.minimal.exact",
    "PairMoments": ".matching.reduction.moments",
    "reduce": ".matching.reduction.moments",
    "Match": ".matching.path",
    "MatchPath": ".matching.path",
    "match_path": ".matching.path",
    "maximum_match": ".matching.path",
    "TieWarning": ".matching.ties",
}

__all__ = [
    "Certificate",
    "FewSamplesWarning",
    "Match",
    "MatchPath",
    "MeasureWarning",
    "MinimalMatches",
    "PairMoments",
    "TieWarning",
    "all_measures",
    "debiased_linear_cka",
    "heat_map",
    "layer_pairs",
    "linear_cka",
    "linear_regression",
    "match_path",
    "maximum_match",
    "mean_cca",
    "minimal_match",
    "minimal_matches",
    "one_to_one",
    "procrustes",
    "pwcca",
    "reduce",
    "simple_matches",
    "svcca",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
