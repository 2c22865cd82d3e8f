"""Pictures of the inputs on which networks are compared, as the networks see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..data.prepared import DataSet, Split, TextSplit

Pictures = Callable[[Sequence[int]], np.ndarray]


def pictures_of(data: DataSet) -> Pictures | None:
    """Return a function from some indices to those images of the evaluation split.

    Args:
        data: a prepared data set.

    Returns:
        A function that returns (indices, channels, height, width) uint8; None for texts.

    Example:
        >>> images = np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2)
        >>> split = Split(images, np.arange(3), np.arange(3))
        >>> pictures_of(DataSet(split, split, {}))([2]).tolist()
        [[[[8, 9], [10, 11]]]]
    """
    split = data.test
    if isinstance(split, TextSplit):
        return None
    if isinstance(split, Split):
        images = split.images
        return lambda indices: np.asarray(images[list(indices)])
    import torch  # takes seconds; only image files, which are resized and cropped, need it

    from .images import Images
    from .preprocessing import trained_preprocessing

    files = Images.on_device(split, trained_preprocessing(data.about), torch.device("cpu"))
    return lambda indices: np.asarray(files.resized(indices).numpy())
