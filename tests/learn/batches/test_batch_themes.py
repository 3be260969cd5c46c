"""Themes in batches, counted one by one."""

import itertools
from collections import Counter

import numpy as np
import pytest

from hm3_jax.learn.batches.plan import batch_themes


@pytest.mark.parametrize("museums", [1, 7, 40])
@pytest.mark.parametrize("themes", [1, 3, 40])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_themes_are_counted(museums, themes, batch):
    rng = np.random.default_rng(museums * themes)
    of_museums = rng.integers(themes, size=museums)
    steps = -(-museums // batch)
    batches = np.full(steps * batch, -1, np.int32)
    batches[rng.permutation(steps * batch)[:museums]] = rng.permutation(museums)
    # A batch of free places only would be no step.
    batches = batches.reshape(steps, batch)
    batches = batches[(batches >= 0).any(1)]
    found = batch_themes(batches, of_museums)

    lists = [[of_museums[m] for m in of_step if m >= 0] for of_step in batches]
    counts = [Counter(of_step) for of_step in lists]
    assert found.themes.tolist() == [len(count) for count in counts]
    pairs = [
        sum(a == b for a, b in itertools.combinations(of_step, 2)) for of_step in lists
    ]
    assert found.pairs.tolist() == pairs
    wanted = sorted(n for count in counts for n in count.values())
    assert sorted(found.museums.tolist()) == wanted
    assert found.summary() == {
        "mean": np.mean([len(count) for count in counts]),
        "min": min(len(count) for count in counts),
        "max": max(len(count) for count in counts),
        "same_theme_pairs": np.mean(pairs),
    }
