from .comparison.layer_result import LayerComparison
from .comparison.result import Comparison
from .comparison.run import PaddedTokensWarning, ShortLoaderWarning, compare
from .extras import MissingExtraError
from .matching.certificate import Certificate
from .matching.consensus import ConsensusPath, consensus_match, consensus_path
from .matching.cross_fitted import CrossFittedPath, cross_fitted_path, held_out_path
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
from .matching.minimal.many_orders import smallest_minimal_matches
from .matching.minimal.partial import PartialMatches
from .matching.minimal.result import MinimalMatches
from .matching.minimal.search import minimal_match, minimal_matches
from .matching.path import Match, MatchPath, match_path, maximum_match
from .matching.reduction.halves import HalvedMoments, reduce_halves
from .matching.reduction.moments import PairMoments, reduce
from .matching.ties import TieWarning
from .matching.validation import FewSamplesWarning
from .version import __version__

__all__ = [
    "Certificate",
    "Comparison",
    "ConsensusPath",
    "CrossFittedPath",
    "FewSamplesWarning",
    "HalvedMoments",
    "LayerComparison",
    "Match",
    "MatchPath",
    "MeasureWarning",
    "MinimalMatches",
    "MissingExtraError",
    "PaddedTokensWarning",
    "PairMoments",
    "PartialMatches",
    "ShortLoaderWarning",
    "TieWarning",
    "__version__",
    "all_measures",
    "compare",
    "consensus_match",
    "consensus_path",
    "cross_fitted_path",
    "debiased_linear_cka",
    "heat_map",
    "held_out_path",
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
    "reduce_halves",
    "simple_matches",
    "smallest_minimal_matches",
    "svcca",
]
