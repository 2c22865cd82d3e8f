"""How the documentation is built: ``make docs``, without a network."""

import logging
import os
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "_ext"), str(Path(__file__).parents[1])]

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # the tutorials compute little, beside the tests of CI

project = "subspace-match"
author = copyright = "the subspace-match authors"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "mathml",
    "from_code",
    "plain_docstrings",
]
exclude_patterns = ["build"]
highlight_language = "text"  # of blocks that name no language: commands

html_theme = "furo"
html_title = "subspace-match"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sphinx = False

myst_enable_extensions = ["attrs_block", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

# The tutorials run on each build, and an error in one of them fails it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # of a cell, beside the tests of CI
nb_merge_streams = True
logging.getLogger("traitlets").setLevel(logging.WARNING)

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "inherited-members": "Mapping,BaseException"}
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
