"""What autodoc shows: docstrings as plain text, and no constructor that is not for users.

Docstrings have Google's sections, and a bar in them is a norm, not reStructuredText.
"""

import re
from typing import Any

from sphinx.application import Sphinx


def _escape(_app: Sphinx, _what: str, _name: str, _obj: Any, _opts: Any, lines: list[str]) -> None:
    """Escape bars outside of literals and examples."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(``.*?``)", line)
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[number] = "".join(parts)


def _hide(
    _app: Sphinx, what: str, _name: str, _obj: Any, _opts: Any, signature: str | None, _returns: Any
) -> tuple[str, None] | None:
    """Hide the signature of a class whose constructor takes private arguments."""
    private = what == "class" and re.search(r"[(\s]_\w+:", signature or "")
    return ("", None) if private else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hooks."""
    app.connect("autodoc-process-docstring", _escape)
    app.connect("autodoc-process-signature", _hide)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
