"""Peeling: remove the farthest neuron again and again. The core of the match path.

``peel`` has the loop and derives what a removal changes. ``spans`` factors both sides before the
first removal. ``updates`` is the interface of a removal, with one implementation per module:
``updates_numpy``, ``updates_torch`` and, for near copies, ``updates_rotation``. ``halves`` factors
two halves of the images; ``updates_halves`` and, for near copies, ``updates_halves_rotation``
remove neurons by their cross-fitted distance.
``permuted`` tells how all permutations of a null are peeled at once: ``permuted_numpy`` on the CPU,
``permuted_torch`` on a GPU.
"""
