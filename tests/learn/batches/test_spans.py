"""Spans of descriptions: what is drawn, and what a batch then holds."""

import math

import jax
import numpy as np
import pytest

from hm3_jax.learn.batches import plan as under_test
from hm3_jax.learn.batches.gather import descriptions
from hm3_jax.learn.batches.plan import EMPTY, MuseumSizes, packings
from hm3_jax.learn.batches.spans import WHOLE, random_spans, spans_of_length
from hm3_jax.learn.devices.mesh import Layout
from tests.learn import small

STREAM = {"seed": 3, "attempt": 2, "epoch": 5}


def test_spans_are_drawn_as_a_loop_draws_them():
    sentences = np.array([1, 2, 7, 22, 0, 300] * 20)
    chosen, length, start = np.random.Generator(np.random.Philox([3, 2, 5, 1])).random(
        (3, len(sentences))
    )
    found = random_spans(sentences, 0.6, **STREAM)
    wanted = []
    for i, n in enumerate(sentences.tolist()):
        if n == 0 or chosen[i] >= 0.6:
            wanted.append(WHOLE)
            continue
        count = min(max(math.floor((n + 1) ** length[i]), 1), n)
        wanted.append((math.floor(start[i] * (n - count + 1)), count))
    assert wanted.count(WHOLE) > 20
    for span, expected in zip(found.tolist(), wanted, strict=True):
        assert span == list(expected) if expected != WHOLE else span[0] == WHOLE
    assert found.dtype == np.int32


def test_lengths_are_log_uniform_and_starts_uniform():
    n, museums = 9, 200_000
    first, count = random_spans(np.full(museums, n), 1.0, **STREAM).T
    shares = np.bincount(count, minlength=n + 1)[1:] / museums
    # The logarithm of 1 to n + 1, cut at whole numbers.
    wanted = [math.log((k + 1) / k) / math.log(n + 1) for k in range(1, n + 1)]
    np.testing.assert_allclose(shares, wanted, atol=0.005)
    starts = np.bincount(first[count == 2], minlength=n - 1) / (count == 2).sum()
    np.testing.assert_allclose(starts, 1 / (n - 1), atol=0.008)
    assert (first + count).max() == n and first.min() == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_is_that_of_the_descriptions(share):
    first = random_spans(np.full(100_000, 5), share, **STREAM)[:, 0]
    assert (first != WHOLE).mean() == pytest.approx(share, abs=0.01)


def test_spans_are_pure_in_seed_try_and_epoch():
    sentences = np.full(100, 20)
    spans = random_spans(sentences, 0.5, **STREAM)
    np.testing.assert_array_equal(random_spans(sentences, 0.5, **STREAM), spans)
    for name in STREAM:
        other = {**STREAM, name: STREAM[name] + 1}
        assert (random_spans(sentences, 0.5, **other) != spans).mean() > 0.3


@pytest.mark.parametrize("length", [1, 4, 30])
def test_spans_of_a_length_have_it_where_there_is_enough(length):
    sentences = np.array([1, 3, 4, 5, 29, 30, 31] * 100)
    first, count = spans_of_length(sentences, length, seed=0).T
    assert count.tolist() == [min(n, length) for n in sentences.tolist()]
    assert first.min() == 0 and (first + count <= sentences).all()
    last = first + count == sentences
    assert last[sentences <= length].all()
    # Every start occurs, the last one too.
    assert set(first[sentences == 31]) >= ({0, 1} if length == 30 else {0, 31 - length})
    others = spans_of_length(sentences, length, seed=1)[:, 0]
    assert (others == first).mean() < 1 or length == 30


def batches(store, steps: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Museums (runs, steps, batch) and spans, some of them whole, of two runs."""
    rng = np.random.default_rng(0)
    museums = rng.integers(0, small.MUSEUMS, size=(2, steps, 9)).astype(np.int32)
    museums[0, -1, 5:] = museums[1, 1, 2] = EMPTY
    counts = np.asarray(store.sentences.lengths)
    drawn = [
        random_spans(counts, share, seed=run, attempt=1, epoch=0)
        for run, share in enumerate((0.7, 0.4))
    ]
    spans = np.stack([of[run] for of, run in zip(drawn, museums, strict=True)])
    assert (spans[..., 0] == WHOLE).any() and (spans[..., 0] > 0).any()
    return museums, spans


def wanted_rows(store, museum, span) -> np.ndarray:
    whole = store.sentences[int(museum)]
    first, count = span
    return whole if first == WHOLE else whole[first : first + count]


@pytest.mark.parametrize("run", [0, 1])
def test_a_batch_holds_the_spans(store, features, counts, run):
    museums, spans = batches(store)
    planned = counts.plan(museums, small.one_device(2), spans)
    capacity = counts.capacity([planned])
    for step in range(planned.steps):
        batch = planned.museums[0, 0, run, step]
        np.testing.assert_array_equal(batch, museums[run, step])
        of_batch = planned.spans[0, 0, run, step]
        packing = packings(planned.sentences[0, 0, 0, step], None, capacity)
        with jax.disable_jit():
            text = descriptions(features, batch, packing, capacity, of_batch)
        ends = np.cumsum(text.sentences.lengths)
        found = np.split(np.asarray(text.sentences.values)[: ends[-1]], ends[:-1])
        for i, museum in enumerate(batch.tolist()):
            if museum == EMPTY:
                assert not len(found[i])
                continue
            span = spans[run, step, i]
            np.testing.assert_array_equal(found[i], wanted_rows(store, museum, span))
            assert text.complete[i] == (span[0] == WHOLE)


def test_capacity_holds_the_spans_and_no_more(store, counts, monkeypatch):
    monkeypatch.setattr(under_test, "_round_up", lambda count: count)
    museums, spans = batches(store)
    capacity = counts.capacity([counts.plan(museums, small.one_device(2), spans)])

    def length(run, step, i):
        museum = museums[run, step, i]
        if museum == EMPTY:
            return 0
        return len(wanted_rows(store, int(museum), spans[run, step, i]))

    lengths = np.array(
        [[[length(r, s, i) for i in range(9)] for s in range(3)] for r in range(2)]
    )
    assert capacity.sentences == lengths.sum(axis=2).max()
    assert capacity.longest_description == lengths.max()
    # The longest of any run, the second longest of any run, ... of each step.
    joint = [
        sum(map(max, *(sorted(lengths[run, step]) for run in range(2))))
        for step in range(3)
    ]
    assert capacity.packed_sentences == max(joint)
    whole = counts.capacity([counts.plan(museums, small.one_device(2))])
    assert capacity.sentences < whole.sentences
    assert (capacity.rooms, capacity.items) == (whole.rooms, whole.items)


def test_shared_batches_hold_the_spans(store, counts, monkeypatch):
    monkeypatch.setattr(under_test, "_round_up", lambda count: count)
    museums, spans = (x[0] for x in batches(store))
    layout = Layout.of(1, jax.devices()[:1])
    planned = counts.plan_shared(museums, layout, spans)
    np.testing.assert_array_equal(planned.museums[0, 0, 0], museums)
    np.testing.assert_array_equal(planned.spans[0, 0, 0], spans)
    lengths = [
        sorted(
            (
                len(wanted_rows(store, museum, span)) if museum != EMPTY else 0
                for museum, span in zip(of_museums, of_spans, strict=True)
            ),
            reverse=True,
        )
        for of_museums, of_spans in zip(museums.tolist(), spans, strict=True)
    ]
    np.testing.assert_array_equal(planned.sentences[0, 0, 0], lengths)
    assert counts.capacity([planned]).sentences == max(map(sum, lengths))


def test_without_spans_nothing_is_planned_for_them(counts: MuseumSizes):
    museums = np.array([[[0, 17, EMPTY]]])
    planned = counts.plan(museums, small.one_device(1))
    assert planned.spans is None
    spans = np.full((1, 1, 3, 2), WHOLE, np.int32)
    marked = counts.plan(museums, small.one_device(1), spans)
    np.testing.assert_array_equal(marked.sentences, planned.sentences)
