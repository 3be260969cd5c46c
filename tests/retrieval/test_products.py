"""Products in parts: the numbers of a whole one, and no part that is large."""

import numpy as np
import pytest

from hm3_jax.retrieval import products as module
from hm3_jax.retrieval.products import MULTIPLIED, products


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("rows", "others", "size"),
    [
        (1, 1, 3),
        (16, 32, 512),
        (17, 33, 512),
        (127, 1100, 24),
        (3, 2, 2**19),
        (0, 5, 4),
    ],
)
def test_parts_are_those_of_the_whole(monkeypatch, rows, others, size, dtype):
    rng = np.random.default_rng(0)
    left, right = (rng.random((n, size)).astype(dtype) for n in (rows, others))
    multiplied = []
    whole = np.matmul

    def matmul(some, part, out):
        multiplied.append(len(some) * part.size)
        return whole(some, part, out=out)

    monkeypatch.setattr(module.np, "matmul", matmul)
    found = products(left, right)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, left @ right.T, rtol=1e-5)
    assert max(multiplied, default=0) <= max(MULTIPLIED, 16 * size)
