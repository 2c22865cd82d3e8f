"""The page of a run, or of several side by side: one file that a browser opens without a network.

Tables and images in, HTML out, never activations. The same tables give the same bytes.
"""

from .page import page, write_page
from .runs import Run, read_run

__all__ = ["Run", "page", "read_run", "write_page"]
