"""Losses and metrics of a split."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hm3_jax.learn.batches.placement import OnDevice
from hm3_jax.learn.evaluation.scoring import Embeddings
from hm3_jax.learn.evaluation.split import Split
from hm3_jax.learn.model import Model, ModelSpec, draw_params, take_run
from hm3_jax.learn.settings import TrainSettings
from hm3_jax.objective.metrics import retrieval_metrics
from hm3_jax.objective.similarity import COSINE
from hm3_jax.objective.triplet import TripletWeights
from tests.learn import small

RUNS = 3
MARGINS, WITHIN, SECOND = (
    np.array([0.25, 0.4, 0.1], np.float32),
    np.array([0.15, 0.3, 0.0], np.float32),
    np.array([0.05, 1.0, 0.5], np.float32),
)


def split_of(store, features, counts, name: str, runs: int) -> Split:
    layout = small.one_device(runs)
    source = OnDevice(features, layout)
    return Split(
        source, counts, features.themes, store.splits[name], f"split {name}", layout
    )


@pytest.fixture(scope="module")
def split(store, features, counts):
    return split_of(store, features, counts, "val", RUNS)


@pytest.fixture(scope="module")
def embeddings() -> Embeddings:
    descriptions, museums = jax.random.normal(jax.random.key(0), (2, RUNS, 14, 6))
    active = jnp.ones(RUNS, bool)
    return Embeddings(descriptions, descriptions + 2 * museums, active, {}, COSINE)


def component(similarity: np.ndarray, margin: float, pairs: list[tuple[int, int]]):
    if not pairs:
        return 0.0
    s = similarity
    rows = [max(0.0, margin + s[i, j] - s[i, i]) for i, j in pairs]
    columns = [max(0.0, margin + s[i, j] - s[j, j]) for i, j in pairs]
    return (np.mean(rows) + np.mean(columns)) / 2


def numpy_loss(embeddings: Embeddings, run: int, themes, settings: TrainSettings):
    """Mean over the batches of one run, pair by pair."""
    text, scene = (
        np.asarray(x[run], np.float64)
        for x in (embeddings.descriptions, embeddings.museums)
    )
    text /= np.linalg.norm(text, axis=1)[:, None]
    scene /= np.linalg.norm(scene, axis=1)[:, None]
    losses = []
    for start in range(0, len(themes), settings.batch_size):
        batch = range(start, min(start + settings.batch_size, len(themes)))
        pairs = [(i, j) for i in batch for j in batch if i != j]
        within = [(i, j) for i, j in pairs if themes[i] == themes[j]]
        if settings.use_categories_in_loss:
            pairs = [pair for pair in pairs if pair not in within]
        loss = component(text @ scene.T, MARGINS[run], pairs)
        if settings.loss_within_category_margin is not None:
            second = component(text @ scene.T, WITHIN[run], within)
            loss = (1 - SECOND[run]) * loss + SECOND[run] * second
        losses.append(loss)
    return np.mean(losses)


@pytest.mark.parametrize("batch_size", [5, 14, 64])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_categories_in_loss": True},
        {"use_categories_in_loss": True, "loss_within_category_margin": 0.15},
    ],
)
def test_the_loss_is_that_of_the_training(split, embeddings, settings, batch_size):
    settings = TrainSettings(**settings, batch_size=batch_size)
    weights = TripletWeights(
        margin=jnp.asarray(MARGINS),
        within_theme_margin=jnp.asarray(WITHIN),
        second_component_weight=jnp.asarray(SECOND),
    )
    keys = jax.random.split(jax.random.key(0), RUNS)
    found = split.loss(embeddings, batch_size, settings.loss_function, weights, keys)
    wanted = [
        numpy_loss(embeddings, run, split.themes, settings) for run in range(RUNS)
    ]
    assert min(wanted) > 0.01
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_metrics_are_those_of_the_embeddings(store, split, embeddings):
    found = split.metrics(embeddings)
    themes = store.theme_index[store.splits["val"]]
    for run, of_run in enumerate(found):
        wanted = retrieval_metrics(
            embeddings.descriptions[run], embeddings.museums[run], themes
        )
        assert of_run == wanted
    assert found[0] != found[1]


def test_models_are_tested_on_the_museums_of_the_split(store, features, counts):
    chosen = store.splits["test"]
    params = draw_params(small.BY_ROOM, jax.random.split(jax.random.key(1), 2))
    split = split_of(store, features, counts, "test", 2)
    spec = ModelSpec(small.BY_ROOM)
    both = split.embed(params, jnp.ones(2, bool), spec)
    assert isinstance(both, Embeddings)
    # Fewer models than the split is planned for will do.
    alone = Model(small.BY_ROOM, take_run(params, 1), None).stacked()
    (last,), (_, same) = split.test(alone, spec), split.test(params, spec)
    for tested in (last, same):
        np.testing.assert_allclose(tested.descriptions, both.descriptions[1], atol=1e-6)
        np.testing.assert_allclose(tested.museums, both.museums[1], atol=1e-6)
        themes = store.theme_index[chosen]
        wanted = retrieval_metrics(tested.descriptions, tested.museums, themes)
        assert tested.metrics == wanted

    spoilt = jax.tree.map(lambda x: x.at[1].set(jnp.nan), params)
    with pytest.raises(ValueError, match="^split test: descriptions: .* found row 0"):
        split.test(spoilt, spec)


def test_an_embedding_that_is_not_finite_names_the_split(split, embeddings):
    broken = dataclasses.replace(
        embeddings, museums=embeddings.museums.at[1, 3, 0].set(jnp.nan)
    )
    before, after = split.metrics(embeddings), split.metrics(broken)
    assert after[1].startswith("split val: museums: expected finite embeddings, found ")
    assert "found row 3 with NaN" in after[1]
    # The others are what they were.
    assert [after[0], after[2]] == [before[0], before[2]]


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_lengths_beyond_float32_are_not_finite(split, embeddings, rows):
    broken = dataclasses.replace(
        embeddings, descriptions=embeddings.descriptions.at[2, rows:].multiply(1e30)
    )
    fault = split.metrics(broken)[2]
    assert f"descriptions: expected finite embeddings, found row {rows} with" in fault
