"""The compiled epoch against a loop of plain steps."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hm3_jax.learn.batches.features import Features, RaggedColumn
from hm3_jax.learn.batches.gather import descriptions, scenes
from hm3_jax.learn.batches.plan import EMPTY, MuseumSizes, epoch_batches, packings
from hm3_jax.learn.batches.spans import WHOLE, random_spans
from hm3_jax.learn.devices.mesh import BY_RUN
from hm3_jax.learn.model import ModelSpec, draw_params, take_run
from hm3_jax.learn.training.epoch import (
    EpochInputs,
    ParamState,
    fresh_state,
    train_epoch,
)
from hm3_jax.objective.triplet import TripletWeights
from tests.learn import small

EPOCHS = 3
RATES = (0.01, 0.01, 0.005)
# Of two runs that differ in everything an epoch is told.
MARGINS = np.array([0.25, 0.3], np.float32)
WITHIN = np.array([0.15, 0.05], np.float32)
SECOND = np.array([0.2, 0.6], np.float32)
SPEC = ModelSpec(small.BY_ROOM)


@pytest.fixture(scope="module")
def batches(store) -> list[np.ndarray]:
    """For every epoch the batches of two tries, int32 (runs, steps, batch)."""
    plan = functools.partial(epoch_batches, store.splits["train"], small.BATCH, seed=7)
    return [
        np.stack([plan(attempt=attempt, epoch=epoch) for attempt in (1, 2)])
        for epoch in range(EPOCHS)
    ]


@pytest.fixture(scope="module")
def initial() -> Any:
    return draw_params(small.BY_ROOM, jax.random.split(jax.random.key(0), 2))


def hyper(epoch: int, runs: slice = slice(None), active=(True, True)) -> EpochInputs:
    return EpochInputs(
        rates=jax.tree.map(lambda x: x[runs], small.rates(RATES[epoch], 2)),
        loss=TripletWeights(
            margin=jnp.asarray(MARGINS[runs]),
            within_theme_margin=jnp.asarray(WITHIN[runs]),
            second_component_weight=jnp.asarray(SECOND[runs]),
        ),
        key=jax.random.split(jax.random.key(epoch), 2)[runs],
        active=jnp.asarray(active)[runs],
    )


def train(
    features: Features,
    params: Any,
    batches: list[np.ndarray],
    runs: slice = slice(None),
    active=(True, True),
) -> tuple[ParamState, np.ndarray, np.ndarray]:
    """State after some epochs, losses and gradient norms (runs, steps)."""
    counts, layout = MuseumSizes.of(features), small.one_device(len(batches[0][runs]))
    begun = fresh_state(jax.tree.map(lambda x: x[runs], params))
    # A copy, as an epoch is given the state up, and where an epoch leaves it, so that
    # the second one is not compiled again.
    state = layout.put(jax.device_get(begun), BY_RUN)
    planned = [counts.plan(of_epoch[runs], layout) for of_epoch in batches]
    losses, norms = [], []
    for epoch, of_epoch in enumerate(planned):
        state, of_steps = train_epoch(
            state,
            hyper(epoch, runs, active),
            of_epoch,
            features,
            spec=SPEC,
            capacity=counts.capacity(planned),
            loss=small.SETTINGS.loss_function,
            layout=layout,
        )
        losses.append(np.asarray(of_steps.loss))
        norms.append(np.asarray(of_steps.gradient_norm))
    return state, np.concatenate(losses, axis=1), np.concatenate(norms, axis=1)


@pytest.fixture(scope="module")
def together(features, initial, batches):
    return train(features, initial, batches)


def close(found: Any, wanted: Any, tolerance: float) -> None:
    """Compares trees relative to the largest value of each leaf."""

    def leaf(found, wanted):
        largest = np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * largest)

    jax.tree.map(leaf, found, wanted)


def same(found: Any, wanted: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def mean_hinge(similarity, margin, mask):
    """Spec section 5: L(m, M) of one direction."""
    matched = jnp.diagonal(similarity)[:, None]
    hinge = jnp.maximum(0.0, margin + similarity - matched)
    pairs = jnp.sum(mask, dtype=jnp.float32)
    return jnp.where(mask, hinge, 0.0).sum() / jnp.maximum(pairs, 1.0)


@functools.partial(jax.jit, static_argnames="capacity")
def embed_one(params, features, batch, capacity):
    """Description and museum of a batch of one."""
    model = SPEC.towers(params)
    museums = batch.museums
    packing = packings(batch.sentences, batch.sequence, capacity)
    text = model.embed_descriptions(descriptions(features, museums, packing, capacity))
    scene = model.embed_scenes(scenes(features, museums, packing, capacity))
    assert isinstance(text, jax.Array) and isinstance(scene, jax.Array)
    return text[0], scene[0]


@jax.jit
def plain_loss(text, scene, themes, margin, within, second):
    """Loss of a batch without free places."""
    text /= jnp.linalg.norm(text, axis=1, keepdims=True)
    scene /= jnp.linalg.norm(scene, axis=1, keepdims=True)
    similarity = text @ scene.T
    same = themes[:, None] == themes[None, :]
    others = ~jnp.eye(len(themes), dtype=bool)

    def component(margin, mask):
        rows = mean_hinge(similarity, margin, mask)
        return (rows + mean_hinge(similarity.T, margin, mask)) / 2

    first = component(margin, ~same)
    return (1 - second) * first + second * component(within, same & others)


def loop(features, params, batches, run: int) -> tuple[Any, list[float], list[float]]:
    """Trains one run step by step, each museum embedded by itself."""
    weights = [jnp.float32(x[run]) for x in (MARGINS, WITHIN, SECOND)]
    every = np.arange(small.MUSEUMS)[None, :, None]  # each a batch
    counts = MuseumSizes.of(features)
    planned = counts.plan(every, small.one_device(1))
    capacity = counts.capacity([planned])

    def loss_of(params, museums):
        ones = [
            jax.tree.map(lambda x, museum=museum: x[0, 0, 0, museum], planned)
            for museum in museums
        ]
        embedded = [embed_one(params, features, one, capacity) for one in ones]
        text, scene = (jnp.stack(rows) for rows in zip(*embedded, strict=True))
        return plain_loss(text, scene, features.themes[museums], *weights)

    params = jax.tree.map(lambda x: x[run], params)
    state, losses, norms = optax.adam(RATES[0]).init(params), [], []
    for rate, of_epoch in zip(RATES, batches, strict=True):
        for museums in of_epoch[run]:
            museums = museums[museums != EMPTY]
            loss, gradient = jax.value_and_grad(loss_of)(params, museums)
            with jax.numpy_dtype_promotion("standard"):
                updates, state = optax.adam(rate).update(gradient, state)
            params = optax.apply_updates(params, updates)
            losses.append(float(loss))
            squares = [
                np.square(x, dtype=np.float64) for x in jax.tree.leaves(gradient)
            ]
            norms.append(np.sqrt(sum(x.sum() for x in squares)))
    return params, losses, norms


@pytest.mark.parametrize("run", [0, 1])
def test_an_epoch_is_a_loop_of_adam_steps(features, initial, batches, together, run):
    params, losses, norms = loop(features, initial, batches, run)
    state, found, found_norms = together
    assert len(losses) == EPOCHS * 3
    assert min(losses) > 0.01  # there is something to compare
    np.testing.assert_allclose(found[run], losses, rtol=2e-5)
    assert min(norms) > 0.01
    np.testing.assert_allclose(found_norms[run], norms, rtol=1e-4)
    close(take_run(state.params, run), params, 2e-5)


@pytest.mark.parametrize("run", [0, 1])
def test_tries_together_are_tries_alone(features, initial, batches, together, run):
    alone, losses, norms = train(features, initial, batches, slice(run, run + 1))
    state, found, found_norms = together
    np.testing.assert_allclose(found[run], losses[0], rtol=1e-5)
    np.testing.assert_allclose(found_norms[run], norms[0], rtol=1e-5)
    close(take_run(state.params, run), take_run(alone.params, 0), 1e-5)
    # The runs do differ, or none of this says anything.
    assert np.abs(found[run] - found[1 - run]).min() > 1e-3


def test_the_same_inputs_give_the_same_bits(features, initial, batches, together):
    again = train(features, initial, batches)
    for what in range(3):
        same(again[what], together[what])


def test_an_inactive_run_stays_as_it_is(features, initial, batches, together):
    state, losses, _ = train(features, initial, batches, active=(True, False))
    before = fresh_state(initial)
    same(take_run(state, 1), take_run(before, 1))
    same(take_run(state, 0), take_run(together[0], 0))
    # What it would have lost is told all the same, with parameters that never change.
    assert losses[1, 0] == together[1][1, 0]


def poisoned(features: Features, museums: np.ndarray) -> Features:
    """The same features with NaN in every row that none of the museums owns."""

    def column(column: RaggedColumn, sets: np.ndarray) -> RaggedColumn:
        offsets = np.asarray(column.offsets)
        items = np.concatenate([np.arange(*offsets[i : i + 2]) for i in sets])
        rows = items if column.index is None else np.asarray(column.index)[items]
        table = np.full_like(np.asarray(column.table), np.nan)
        table[rows] = np.asarray(column.table)[rows]
        return dataclasses.replace(column, table=table)

    offsets = np.asarray(features.room_offsets)
    rooms = np.concatenate([np.arange(*offsets[i : i + 2]) for i in museums])
    return dataclasses.replace(
        features,
        sentences=column(features.sentences, museums),
        items={kind: column(items, rooms) for kind, items in features.items.items()},
    )


def test_free_places_and_padding_have_no_influence(
    store, features, initial, batches, together
):
    # Padding gathers the first rows there are. They belong to a museum of another
    # split, so they are NaN here.
    spoilt = poisoned(features, store.splits["train"])
    assert np.isnan(spoilt.sentences.table[0]).all()
    for column in spoilt.items.values():
        row = 0 if column.index is None else int(column.index[0])
        assert np.isnan(column.table[row]).all()
    state, losses, norms = train(spoilt, initial, batches)
    same(losses, together[1])
    same(norms, together[2])
    same(state, together[0])


def test_free_places_take_no_part_in_the_loss(features, initial, batches, together):
    """The last batch has four museums: its loss is that of four, not of five."""
    assert (batches[0][:, -1] == EMPTY).sum(axis=1).tolist() == [1, 1]
    # The same epoch with the free places among the museums instead of at the end.
    turned = [np.ascontiguousarray(of_epoch[:, :, ::-1]) for of_epoch in batches]
    _, losses, _ = train(features, initial, turned)
    np.testing.assert_allclose(losses, together[1], rtol=2e-5)


def one_epoch(features, params, batches, spans=None) -> tuple[ParamState, np.ndarray]:
    """State after an epoch of both runs, and losses (runs, steps)."""
    state = fresh_state(jax.tree.map(jnp.copy, params))
    counts, layout = MuseumSizes.of(features), small.one_device(2)
    planned = counts.plan(batches, layout, spans)
    state, of_steps = train_epoch(
        state,
        hyper(0),
        planned,
        features,
        spec=SPEC,
        capacity=counts.capacity([planned]),
        loss=small.SETTINGS.loss_function,
        layout=layout,
    )
    return state, np.asarray(of_steps.loss)


def cut(features: Features, spans: np.ndarray) -> Features:
    """The same features with other descriptions: spans of them, of every museum."""
    offsets, rows, lengths = np.asarray(features.sentences.offsets), [], []
    for museum, (first, count) in enumerate(spans):
        begin, end = offsets[museum : museum + 2]
        whole = np.arange(begin, end)
        rows.append(whole if first == WHOLE else whole[first : first + count])
        lengths.append(len(rows[-1]))
    table = np.asarray(features.sentences.table)[np.concatenate(rows)]
    new = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return dataclasses.replace(features, sentences=RaggedColumn(table, new))


@pytest.mark.thorough
def test_spans_are_descriptions_cut_by_hand(features, initial, batches):
    sentences = MuseumSizes.of(features).sentences
    both = [
        random_spans(sentences, 0.7, seed=1, attempt=k, epoch=0)[batches[0][k - 1]]
        for k in (1, 2)
    ]
    state, losses = one_epoch(features, initial, batches[0], np.stack(both))
    whole = one_epoch(features, initial, batches[0])[1]
    for run in (0, 1):
        spans = np.full((small.MUSEUMS, 2), WHOLE)
        spans[batches[0][run]] = both[run]
        by_hand, wanted = one_epoch(cut(features, spans), initial, batches[0])
        np.testing.assert_allclose(losses[run], wanted[run], rtol=1e-5)
        close(take_run(state.params, run), take_run(by_hand.params, run), 1e-5)
        assert np.abs(losses[run] - whole[run]).min() > 1e-3


def test_spans_that_are_all_whole_change_nothing(features, initial, batches):
    spans = np.full((*batches[0].shape, 2), WHOLE, np.int32)
    found = one_epoch(features, initial, batches[0], spans)
    wanted = one_epoch(features, initial, batches[0])
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6)
    close(found[0].params, wanted[0].params, 1e-6)
