"""The figures of an experiment: tables in, a matplotlib figure and its caption out.

The same tables give the same bytes. If a table is empty because the run was not asked for its data,
the figure says so. ``registry`` lists the figures without importing matplotlib.
"""

from .registry import FIGURES, FigureSpec, figure_names

__all__ = ["FIGURES", "FigureSpec", "figure_names"]
