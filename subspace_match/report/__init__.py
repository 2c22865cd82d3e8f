"""The page of one run, or of several side by side: one HTML file that needs no network.

It shows tables and images, never activations. The same tables give the same bytes. ``runs`` reads a
run's folder; ``payload``, ``atlas`` and ``run_info`` turn it into data; ``page`` joins the data
with the scripts in the folder ``page``.
"""

from .page import page, write_page
from .runs import Run, read_run

__all__ = ["Run", "page", "read_run", "write_page"]
