"""The figures of an experiment, drawn from its tables: tables in, a matplotlib figure out.

The same tables give the same bytes. A table that has no rows, since the run was not asked for what
it would hold, gives a figure that says so.
"""

from .captions import caption
from .critical import critical_epsilons, similarity_by_epsilon
from .depth import similarity_by_depth, stages
from .layer_pairs import heat_map
from .other_measures import measures
from .preferred_images import chosen_matches, top_images
from .sizes import minimal_matches
from .style import save

# The tables that each figure's function takes, in order; the last also takes the images.
TABLES = {
    "similarity_by_depth": ("summary",),
    "stages": ("summary",),
    "similarity_by_epsilon": ("neurons",),
    "critical_epsilons": ("neurons",),
    "minimal_matches": ("minimal_matches", "summary"),
    "measures": ("measures", "summary"),
    "heat_map": ("heat_map",),
    "top_images": ("minimal_match_members", "networks", "top_images"),
}

__all__ = [
    "TABLES",
    "caption",
    "chosen_matches",
    "critical_epsilons",
    "heat_map",
    "measures",
    "minimal_matches",
    "save",
    "similarity_by_depth",
    "similarity_by_epsilon",
    "stages",
    "top_images",
]
