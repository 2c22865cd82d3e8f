"""Tokens of a text: its bytes, or what a tokenizer of Hugging Face makes of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..extras import needs

if TYPE_CHECKING:  # planning imports this module
    import numpy as np

BYTES = "bytes"


class Tokens(ABC):
    """A way to cut texts into windows of equally many tokens.

    Attributes:
        vocabulary: number of different tokens.
    """

    vocabulary: int

    @abstractmethod
    def windows(self, text: str, tokens: int) -> np.ndarray:
        """Return the whole windows of a text, (windows, tokens) of integers.

        What is left after the last whole window is left out.
        """


class Bytes(Tokens):
    """Each byte of the text in UTF-8 is a token.

    Example:
        >>> Bytes().windows("abcdefg", 3).tolist()
        [[97, 98, 99], [100, 101, 102]]
    """

    vocabulary = 256

    def windows(self, text: str, tokens: int) -> np.ndarray:
        import numpy as np

        content = np.frombuffer(text.encode(), np.uint8)
        count = len(content) // tokens
        return content[: count * tokens].reshape(count, tokens)


class TokenizerFile(Tokens):
    """The tokens of a ``tokenizer.json``, the file of Hugging Face beside a model.

    Those that the tokenizer adds at the ends of a text, such as [CLS] and [SEP], are at the ends of
    every window.
    """

    def __init__(self, path: str) -> None:
        """Read the file; raise a ValueError if there is none or it is no tokenizer."""
        with needs("models", "data.tokenizer"):
            from tokenizers import Tokenizer

        self._path = path
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(Path(path).expanduser()))
        except Exception as error:  # the library raises bare exceptions
            raise ValueError(
                f"data.tokenizer: expected {BYTES} or the tokenizer.json of a model, found {path!r}"
                f" ({error})"
            ) from error
        self._tokenizer.no_padding()
        self.vocabulary = int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def windows(self, text: str, tokens: int) -> np.ndarray:
        import numpy as np

        added = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        if tokens <= added:
            raise ValueError(
                f"data.tokens: expected more than the {added} tokens that {self._path} adds to each"
                f" window, found {tokens}"
            )
        self._tokenizer.enable_truncation(tokens)
        first = self._tokenizer.encode(text)
        whole = [part.ids for part in (first, *first.overflowing) if len(part.ids) == tokens]
        return np.array(whole, np.int32).reshape(-1, tokens)


def tokens_of(tokenizer: str) -> Tokens:
    """Return the tokens that the key ``data.tokenizer`` names: "bytes", or the path of a file."""
    return Bytes() if tokenizer == BYTES else TokenizerFile(tokenizer)
