"""Draws of new positives: who may be drawn, how often, and how evenly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hm3_jax.objective.positives import Draws, draw_positives

THEMES = np.array([0, 0, 1, 0, 2, 0, 1, 0], np.int32)
VALID = np.array([True, True, True, True, True, True, True, False])
# By hand: valid others of the theme.
CANDIDATES = {
    0: {1, 3, 5}, 1: {0, 3, 5}, 2: {6}, 3: {0, 1, 5},
    4: set(), 5: {0, 1, 3}, 6: {2}, 7: set(),
}  # fmt: skip


@functools.cache
def draw_many(samples: int, with_replacement: bool = False) -> Draws:
    """6,000 independent draws."""

    @jax.jit
    @jax.vmap
    def draw(key):
        return draw_positives(
            key,
            jnp.asarray(THEMES),
            jnp.asarray(VALID),
            samples,
            with_replacement=with_replacement,
        )

    return jax.device_get(draw(jax.random.split(jax.random.key(0), 6000)))


@pytest.mark.parametrize("samples", [1, 2, 11])
def test_without_replacement_each_candidate_comes_at_most_once(samples: int) -> None:
    draws = draw_many(samples)
    for museums, drawn in zip(draws.museums[:300], draws.drawn[:300], strict=True):
        for anchor, candidates in CANDIDATES.items():
            chosen = museums[anchor][drawn[anchor]].tolist()
            assert len(chosen) == min(samples, len(candidates))
            assert len(set(chosen)) == len(chosen)
            assert set(chosen) <= candidates


def test_with_replacement_every_draw_is_used_if_there_is_a_candidate() -> None:
    draws = draw_many(2, True)
    repeated = False
    for museums, drawn in zip(draws.museums[:300], draws.drawn[:300], strict=True):
        for anchor, candidates in CANDIDATES.items():
            chosen = museums[anchor][drawn[anchor]].tolist()
            assert len(chosen) == (2 if candidates else 0)
            assert set(chosen) <= candidates
            repeated |= len(candidates) > 1 and len(set(chosen)) < len(chosen)
    assert repeated


@pytest.mark.parametrize("with_replacement", [False, True])
def test_draws_are_uniform_and_anchors_independent(with_replacement: bool) -> None:
    draws = draw_many(2, with_replacement)
    repeats = len(draws.museums)
    # Five standard deviations of a binomial share.
    for anchor in (0, 1, 3, 5):
        others = sorted(CANDIDATES[anchor])
        for first in others:
            for second in others:
                if with_replacement:
                    share = 1 / 9
                else:
                    share = 0 if first == second else 1 / 6
                found = np.mean(
                    (draws.museums[:, anchor, 0] == first)
                    & (draws.museums[:, anchor, 1] == second)
                )
                tolerance = 5 * np.sqrt(share * (1 - share) / repeats)
                assert abs(found - share) <= tolerance
    agreement = np.mean(draws.museums[:, 0, 0] == draws.museums[:, 1, 0])
    # Both draw of {3, 5} with chance 2/3, and then the same with 1/2.
    expected = 2 / 9
    tolerance = 5 * np.sqrt(expected * (1 - expected) / repeats)
    assert abs(agreement - expected) <= tolerance


def test_same_key_same_draws_whatever_padding_follows() -> None:
    key = jax.random.key(4)
    short = draw_positives(key, jnp.asarray(THEMES), jnp.asarray(VALID), 3)
    long = draw_positives(
        key,
        jnp.concatenate([jnp.asarray(THEMES), jnp.zeros(5, jnp.int32)]),
        jnp.concatenate([jnp.asarray(VALID), jnp.zeros(5, bool)]),
        3,
    )
    np.testing.assert_array_equal(short.drawn, long.drawn[:8])
    np.testing.assert_array_equal(
        np.where(short.drawn, short.museums, -1),
        np.where(long.drawn, long.museums, -1)[:8],
    )
