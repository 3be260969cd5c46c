"""Products that a BLAS does not split among threads of its own.

Those threads wait for one another: on cores that are busy with other work, a product of
a few thousand numbers takes hundreds of times as long.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

ROWS, MULTIPLIED = 16, 2**18
"""Rows of one side, and numbers that one product multiplies, at most."""


def products(
    left: Float[np.ndarray, "rows d"], right: Float[np.ndarray, "others d"]
) -> Float[np.ndarray, "rows others"]:
    """Of each row with each other: ``left @ right.T``."""
    found = np.empty((len(left), len(right)), np.result_type(left, right))
    others = max(MULTIPLIED // (ROWS * left.shape[1]), 1)
    for first in range(0, len(left), ROWS):
        some = slice(first, first + ROWS)
        for start in range(0, len(right), others):
            part = slice(start, start + others)
            np.matmul(left[some], right[part].T, out=found[some, part])
    return found
