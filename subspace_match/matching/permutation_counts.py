"""How many permutations a null has. Jobs read this before they load NumPy and set its threads."""

from __future__ import annotations

LEVEL = 20  # 1 / 5%, the level of a threshold
# Floating-point operations of a layer's permutations: up to CHEAP more than 99, up to DEAR 99.
CHEAP, DEAR = 1e10, 3e12


def check_permutations(where: str, count: int) -> None:
    """Refuse a number of permutations for which p <= 0.05 and the threshold disagree.

    Args:
        where: the option or key that gave the number, the start of the message.
        count: K; 0 stands for no null.

    Raises:
        ValueError: unless it is 0 or one less than a multiple of 20.

    Example:
        >>> check_permutations("--null", 200)
        Traceback (most recent call last):
        ...
        ValueError: --null: expected 0 or one less than a multiple of 20, so that p <= 0.05 and the\
 null's threshold agree, found 200; use 199
    """
    if count < 0 or (count and (count + 1) % LEVEL):
        # In words, as adding 0.5 would round 10 and 30 differently.
        nearest = max(1, (count + 1 + LEVEL // 2) // LEVEL) * LEVEL - 1
        raise ValueError(
            f"{where}: expected 0 or one less than a multiple of {LEVEL}, so that p <= 0.05 and the"
            f" null's threshold agree, found {count}; use {nearest}"
        )


def affordable_permutations(samples: int, neurons_x: int, neurons_y: int) -> int:
    """Return the number of permutations of a layer that its cost allows.

    99 permutations can give p = 0.01 also after the correction for several layers. A layer gets
    more while they take about a second, and 19 if 99 would take more than about two minutes (on a
    CPU core, measured at 20 to 40 Gflop/s).

    Args:
        samples: d.
        neurons_x: n_x.
        neurons_y: n_y.

    Example:
        >>> layers = (1000, 8), (10_000, 256), (50_000, 4096)
        >>> [affordable_permutations(samples, n, n) for samples, n in layers]
        [999, 99, 19]
    """
    work = 2 * samples * neurons_x * neurons_y + 10 * (neurons_x + neurons_y) ** 3
    for count in (999, 499, 199):
        if count * work <= CHEAP:
            return count
    return 99 if 99 * work <= DEAR else 19
