"""The page of one run, or of several side by side: one HTML file that needs no network.

It is made from tables and images, never from activations. The same tables give the same bytes.
"""

from .page import page, write_page
from .runs import Run, read_run

__all__ = ["Run", "page", "read_run", "write_page"]
