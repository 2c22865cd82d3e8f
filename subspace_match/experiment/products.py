"""The tables and figures of an experiment."""

# Files of each table, by suffix: Parquet for programs, CSV for people.
TABLES: dict[str, tuple[str, ...]] = {
    "networks": ("csv",),
    "similarity": ("parquet", "csv"),
    "summary": ("parquet", "csv"),
    "neurons": ("parquet", "csv"),
    "measures": ("parquet", "csv"),
    "minimal_matches": ("parquet",),
    "minimal_match_members": ("parquet",),
    "null": ("parquet",),
    "heat_map": ("parquet",),
    "top_images": ("parquet",),
    "left_out": ("parquet", "csv"),
}


def figure_names(comparisons: int) -> list[str]:
    """Return the figures of an experiment; one of them needs several comparisons."""
    always = ["similarity_by_depth", "similarity_by_epsilon", "critical_epsilons"]
    always += ["minimal_matches", "measures", "heat_map", "top_images"]
    return always + ["stages"] * (comparisons > 1)
