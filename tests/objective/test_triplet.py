"""Losses against the published numbers and against double loops from the formulas."""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hm3_jax.objective.positives import draw_positives
from hm3_jax.objective.similarity import CosineScores
from hm3_jax.objective.triplet import (
    TripletLoss,
    TripletWeights,
    decay_second_weight,
)
from tests.golden_runs import LOSSES, loss_by_us, loss_settings, value_and_gradient


def second_of(similarity, themes, valid, config, weights, key=None):
    """The second component, unweighted."""
    alone = dataclasses.replace(weights, second_component_weight=1.0)
    return config(similarity, themes, valid, alone, key)


def golden_value(case: dict, arrays) -> tuple[np.ndarray, np.ndarray]:
    """Published loss and gradient of a case, 0 where they are 0/0."""
    loss, gradient = (arrays[f"{name}{case['case']}"] for name in ("loss", "grad"))
    if not np.isnan(loss):
        return loss, gradient
    return np.zeros_like(loss), np.zeros_like(gradient)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: f"case{case['case']}")
def test_published_value_and_gradient(case: dict, golden: Path) -> None:
    arrays = np.load(golden / "loss.npz")
    similarity = jnp.asarray(arrays[f"sim{case['case']}"])
    themes = jnp.asarray(arrays[f"cat{case['case']}"], jnp.int32)
    valid = jnp.ones(len(themes), bool)
    config, weights = loss_settings(case)
    loss, gradient = loss_by_us(case)
    expected, expected_gradient = golden_value(case, arrays)
    if np.isnan(arrays[f"loss{case['case']}"]) and config.within_theme:
        # The second component alone is 0/0: it is 0, and the first one, which the
        # published cases also hold by itself, keeps its share.
        (alone,) = (
            other
            for other in LOSSES
            if other["uses_categories"]
            and other.get("filter_out_hard_negatives")
            and "within_category_margin" not in other
            and np.array_equal(arrays[f"sim{other['case']}"], similarity)
            and np.array_equal(arrays[f"cat{other['case']}"], themes)
        )
        share = 1 - weights.second_component_weight
        expected, expected_gradient = (
            share * part for part in golden_value(alone, arrays)
        )
        assert second_of(similarity, themes, valid, config, weights) == 0
    np.testing.assert_allclose(loss, expected, atol=1e-6, rtol=0)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6, rtol=0)


@functools.partial(jax.jit, static_argnames="config")
def draws_of(key, themes, valid, config):
    if config.new_positive_samples is None:
        return None
    return draw_positives(
        key,
        themes,
        valid,
        config.new_positive_samples,
        with_replacement=config.with_replacement,
    )


# An oracle in plain loops, in float64.


def oracle_component(s, margin, keep, positives, hard_filter) -> float:
    """`L(m, M)`; `positives(i)` lists the positives of anchor i."""
    halves = []
    for similarity in (s, s.T):
        total, pairs = 0.0, 0
        for i in range(len(s)):
            drawn = positives(i)
            for j in range(len(s)):
                if not keep(i, j) or not drawn:
                    continue
                if hard_filter and similarity[i, j] >= similarity[i, i]:
                    continue
                pairs += 1
                for p in drawn:
                    hinge = margin + similarity[i, j] - similarity[i, p]
                    total += max(hinge, 0.0) / len(drawn)
        halves.append(total / pairs if pairs else 0.0)
    return sum(halves) / 2


def oracle(
    s, c, valid, config: TripletLoss, weights: TripletWeights, draws=None
) -> float:
    rows = np.flatnonzero(valid)
    s, c = s[np.ix_(rows, rows)].astype(np.float64), c[rows]
    hard = config.filter_out_hard_negatives
    if config.uses_themes:
        first = oracle_component(
            s, weights.margin, lambda i, j: c[i] != c[j], lambda i: [i], hard
        )
    else:
        first = oracle_component(
            s, weights.margin, lambda i, j: i != j, lambda i: [i], hard
        )
    if draws is not None:
        place = {row: i for i, row in enumerate(rows)}
        second = oracle_component(
            s,
            weights.margin,
            lambda i, j: c[i] != c[j],
            lambda i: [
                place[p]
                for p, drawn in zip(
                    draws.museums[rows[i]], draws.drawn[rows[i]], strict=True
                )
                if drawn
            ],
            hard,
        )
    elif config.within_theme:
        second = oracle_component(
            s,
            weights.within_theme_margin,
            lambda i, j: c[i] == c[j] and i != j,
            lambda i: [i],
            hard,
        )
    else:
        return first
    w = weights.second_component_weight
    return float((1 - w) * first + w * second)


CONFIGS = [
    TripletLoss(filter_out_hard_negatives=hard, **others)
    for hard in (False, True)
    for others in (
        {},
        {"uses_themes": True},
        {"uses_themes": True, "within_theme": True},
        {"uses_themes": True, "new_positive_samples": 3},
        {"uses_themes": True, "new_positive_samples": 3, "with_replacement": True},
        {"uses_themes": True, "new_positive_samples": 20},
    )
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@given(data=st.data())
def test_loss_is_the_double_loop_whatever_the_padding_holds(config, data) -> None:
    size = 7  # one shape, one compilation
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    # Multiples of 1/8: equal similarities and hinges of exactly 0 are frequent.
    s = (rng.integers(-8, 9, (size, size)) / 8).astype(np.float32)
    c = rng.integers(0, data.draw(st.integers(1, 4)), size).astype(np.int32)
    valid = rng.random(size) < data.draw(st.sampled_from([0.0, 0.4, 0.8, 1.0]))
    present = valid[:, None] & valid[None, :]
    s = np.where(present, s, data.draw(st.sampled_from([np.nan, np.inf, -1e38])))
    margins = st.sampled_from([0.0, 0.125, 0.25, 0.3, 2.5])
    weights = TripletWeights(
        margin=data.draw(margins),
        within_theme_margin=data.draw(margins),
        second_component_weight=data.draw(st.sampled_from([0.0, 0.05, 0.5, 1.0])),
    )
    key = jax.random.key(int(rng.integers(1000)))
    draws = jax.device_get(draws_of(key, c, valid, config))
    loss, gradient = value_and_gradient(
        jnp.asarray(s), jnp.asarray(c), jnp.asarray(valid), config, weights, key
    )
    expected = oracle(s, c, valid, config, weights, draws)
    np.testing.assert_allclose(loss, expected, atol=2e-6, rtol=0)
    gradient = np.asarray(gradient)
    assert not gradient[~present].any()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_gradient_is_the_slope_of_the_double_loop(config: TripletLoss) -> None:
    rng = np.random.default_rng(5)
    size = 6
    s = rng.uniform(-1, 1, (size, size)).astype(np.float32)
    c = np.array([0, 1, 0, 0, 1, 2], np.int32)
    valid = np.array([True, True, True, True, True, False])
    weights = TripletWeights(second_component_weight=0.3)
    key = jax.random.key(3)
    draws = jax.device_get(draws_of(key, c, valid, config))
    _, gradient = value_and_gradient(
        jnp.asarray(s), jnp.asarray(c), jnp.asarray(valid), config, weights, key
    )
    step = 1e-6
    slope = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            up, down = s.astype(np.float64), s.astype(np.float64)
            up[i, j] += step
            down[i, j] -= step
            slope[i, j] = (
                oracle(up, c, valid, config, weights, draws)
                - oracle(down, c, valid, config, weights, draws)
            ) / (2 * step)
    np.testing.assert_allclose(gradient, slope, atol=1e-6)


def batch(size: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    return (
        jnp.asarray(rng.uniform(-1, 1, (size, size)), jnp.float32),
        jnp.asarray(rng.integers(0, 3, size), jnp.int32),
        jnp.ones(size, bool),
    )


@pytest.mark.parametrize("config", CONFIGS[3:], ids=str)
def test_padding_a_batch_changes_nothing(config: TripletLoss) -> None:
    s, c, valid = batch()
    key = jax.random.key(9)
    weights = TripletWeights()
    loss, gradient = value_and_gradient(s, c, valid, config, weights, key)
    padded_s = jnp.full((20, 20), jnp.nan).at[:12, :12].set(s)
    padded_loss, padded_gradient = value_and_gradient(
        padded_s,
        jnp.zeros(20, jnp.int32).at[:12].set(c),
        jnp.arange(20) < 12,
        config,
        weights,
        key,
    )
    np.testing.assert_allclose(padded_loss, loss, atol=1e-7)
    np.testing.assert_allclose(padded_gradient[:12, :12], gradient, atol=1e-8)


@pytest.mark.parametrize(
    "structure", [{"within_theme": True}, {"new_positive_samples": 2}], ids=str
)
def test_second_weight_zero_is_the_first_component_to_the_bit(structure) -> None:
    s, c, valid = batch()
    key = jax.random.key(0)
    alone, gradient = value_and_gradient(
        s, c, valid, TripletLoss(uses_themes=True), TripletWeights()
    )
    config = TripletLoss(uses_themes=True, **structure)
    weights = TripletWeights(second_component_weight=0.0)
    both, both_gradient = value_and_gradient(s, c, valid, config, weights, key)
    assert both == alone
    assert second_of(s, c, valid, config, weights, key) > 0
    np.testing.assert_array_equal(both_gradient, gradient)


def test_vmap_over_weights_is_a_loop_over_one_compilation() -> None:
    s, c, valid = batch()
    config = TripletLoss(uses_themes=True, within_theme=True)
    grid = TripletWeights(
        margin=jnp.array([0.1, 0.25, 0.5]),
        within_theme_margin=jnp.array([0.0, 0.15, 0.1]),
        second_component_weight=jnp.array([0.0, 0.5, 1.0]),
    )
    many = jax.vmap(lambda w: config(s, c, valid, w))(grid)
    traces = []

    @jax.jit
    def compiled(weights):
        traces.append(weights)
        return config(s, c, valid, weights)

    for i in range(3):
        point = jax.tree.map(lambda leaf, i=i: leaf[i], grid)
        np.testing.assert_allclose(many[i], compiled(point), rtol=1e-6)
    assert len(traces) == 1


# Runs that share a program: structure, and what its weights are.
RUNS_TOGETHER = {
    "plain, themes, filtered": [
        (TripletLoss(), TripletWeights(margin=0.3, second_component_weight=0.0)),
        (
            TripletLoss(uses_themes=True),
            TripletWeights(margin=0.2, second_component_weight=0.0),
        ),
        (
            TripletLoss(filter_out_hard_negatives=True),
            TripletWeights(margin=0.1, second_component_weight=0.0),
        ),
        (
            TripletLoss(uses_themes=True, within_theme=True),
            TripletWeights(within_theme_margin=0.4, second_component_weight=0.3),
        ),
        (
            TripletLoss(
                uses_themes=True, within_theme=True, filter_out_hard_negatives=True
            ),
            TripletWeights(margin=0.5, second_component_weight=1.0),
        ),
    ],
    "new positives": [
        (
            TripletLoss(uses_themes=True, new_positive_samples=2),
            TripletWeights(second_component_weight=0.5),
        ),
        (
            TripletLoss(
                uses_themes=True,
                new_positive_samples=2,
                filter_out_hard_negatives=True,
            ),
            TripletWeights(margin=0.4, second_component_weight=0.2),
        ),
    ],
}


def switched(config: TripletLoss, weights: TripletWeights) -> TripletWeights:
    """Weights that say what a covering structure leaves open."""
    return dataclasses.replace(
        weights,
        uses_themes=config.uses_themes,
        filter_out_hard_negatives=config.filter_out_hard_negatives,
    )


@pytest.mark.parametrize("runs", RUNS_TOGETHER.values(), ids=list(RUNS_TOGETHER))
def test_runs_of_different_structure_in_one_program_are_each_their_own(runs) -> None:
    s, c, valid = batch()
    valid = valid.at[7].set(False)
    key = jax.random.key(4)
    covering = TripletLoss.covering([config for config, _ in runs])
    stacked = jax.tree.map(
        lambda *values: jnp.asarray(values), *(switched(*run) for run in runs)
    )

    def one(weights):
        return value_and_gradient(s, c, valid, covering, weights, key)

    together, gradients = jax.jit(jax.vmap(one))(stacked)
    losses = []
    for run, (config, weights) in enumerate(runs):
        loss, gradient = value_and_gradient(s, c, valid, config, weights, key)
        np.testing.assert_allclose(together[run], loss, rtol=0, atol=1e-6)
        np.testing.assert_allclose(gradients[run], gradient, rtol=0, atol=1e-6)
        losses.append(round(float(loss), 4))
        # By itself, one run of the covering structure.
        same, same_gradient = value_and_gradient(
            s, c, valid, covering, jax.tree.map(lambda x, run=run: x[run], stacked), key
        )
        np.testing.assert_allclose(same, loss, rtol=0, atol=1e-6)
        np.testing.assert_allclose(same_gradient, gradient, rtol=0, atol=1e-6)
        if weights.second_component_weight == 0:
            # A component that a run has not changes no bit of it.
            of_run = jax.tree.map(lambda x, run=run: x[run], stacked)
            assert second_of(s, c, valid, covering, of_run, key) > 0
            assert together[run] == same
    assert len(set(losses)) == len(losses)


@pytest.mark.parametrize(
    ("configs", "wanted"),
    [
        ([{}], {}),
        ([{"uses_themes": True}] * 2, {"uses_themes": True}),
        ([{}, {"uses_themes": True}], {"uses_themes": None}),
        (
            [{}, {"uses_themes": True, "within_theme": True}],
            {"uses_themes": None, "within_theme": True},
        ),
        (
            [{"filter_out_hard_negatives": True}, {}],
            {"filter_out_hard_negatives": None},
        ),
    ],
)
def test_only_what_differs_is_left_open(configs, wanted) -> None:
    covering = TripletLoss.covering([TripletLoss(**config) for config in configs])
    assert covering == TripletLoss(**wanted)


def test_runs_that_draw_otherwise_cannot_be_covered() -> None:
    config = TripletLoss(uses_themes=True, new_positive_samples=2)
    with pytest.raises(ValueError):
        TripletLoss.covering([config, TripletLoss(uses_themes=True)])


@pytest.mark.parametrize(
    "config",
    [TripletLoss(uses_themes=None), TripletLoss(filter_out_hard_negatives=None)],
    ids=str,
)
def test_a_switch_left_open_is_asked_for(config) -> None:
    s, c, valid = batch()
    with pytest.raises(ValueError, match="the switches that the config leaves"):
        config(s, c, valid, TripletWeights())


def test_gradient_through_padded_embeddings_is_that_of_the_smaller_batch() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 6, 5)).astype(np.float32)
    c = np.array([0, 0, 1, 1, 0, 2], np.int32)
    config = TripletLoss(uses_themes=True, within_theme=True)

    def loss(a, b, c, valid):
        s = CosineScores()(a, b, valid)
        return config(s, c, valid, TripletWeights())

    valid = np.array([True, True, False, True, True, False])
    dirty_a, dirty_b = a.copy(), b.copy()
    dirty_a[~valid], dirty_b[~valid] = np.nan, np.nan
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    gradients = gradient(*map(jnp.asarray, (dirty_a, dirty_b, c, valid)))
    expected = gradient(*map(jnp.asarray, (a[valid], b[valid], c[valid], valid[valid])))
    for actual, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(np.asarray(actual)[valid], wanted, atol=1e-7)
        assert not np.asarray(actual)[~valid].any()


def test_second_weight_grows_to_one_at_most() -> None:
    weight = 0.5
    seen = []
    for _ in range(4):
        weight = decay_second_weight(weight, 1.3)
        seen.append(weight)
    np.testing.assert_allclose(seen, [0.65, 0.845, 1.0, 1.0], rtol=1e-6)
    assert decay_second_weight(0.5, 0.5) == 0.25


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (
            {"within_theme": True},
            ("loss_within_category_margin", "use_categories_in_loss"),
        ),
        (
            {"new_positive_samples": 2},
            ("new_positive_samples", "use_categories_in_loss"),
        ),
        (
            {"uses_themes": True, "within_theme": True, "new_positive_samples": 2},
            ("new_positive_samples", "loss_within_category_margin"),
        ),
        (
            {"uses_themes": True, "with_replacement": True},
            ("allow_sampling_replacement_of_new_positives", "new_positive_samples"),
        ),
        ({"uses_themes": True, "new_positive_samples": 0}, ("new_positive_samples",)),
    ],
    ids=str,
)
def test_contradictory_settings_are_refused_by_name(settings, names) -> None:
    with pytest.raises(ValueError) as error:
        TripletLoss(**settings)
    for name in names:
        assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "flag"),
    [
        ("margin", -0.1, "loss_margin"),
        ("margin", float("nan"), "loss_margin"),
        ("within_theme_margin", float("inf"), "loss_within_category_margin"),
        ("second_component_weight", 1.01, "second_loss_component_weight"),
        ("second_component_weight", -0.01, "second_loss_component_weight"),
    ],
)
def test_weights_out_of_range_are_refused_by_name(field, value, flag) -> None:
    with pytest.raises(ValueError, match=flag):
        TripletWeights.checked(**{field: value})
    assert TripletWeights.checked(margin=0.3).margin == 0.3


@pytest.mark.usefixtures("shapes_are_not_checked")
def test_wrong_shapes_and_a_missing_key_are_refused() -> None:
    s, c, valid = batch(4)
    with pytest.raises(ValueError, match=r"\(4, 4\), \(3,\) and \(4,\)"):
        TripletLoss()(s, c[:3], valid, TripletWeights())
    config = TripletLoss(uses_themes=True, new_positive_samples=1)
    with pytest.raises(ValueError, match=r"new_positive_samples \(1\) needs a key"):
        config(s, c, valid, TripletWeights())
