"""Queries of some sentences: as if each museum were described by these alone."""

import dataclasses

import jax
import numpy as np
import pytest

from hm3_jax.data.store import open_store
from hm3_jax.learn.batches.spans import spans_of_length
from hm3_jax.learn.evaluation.saved_model import evaluate
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.learn.saved.checkpoint import Checkpoint
from tests.learn import small

LENGTHS = (1, 2, 4)


@pytest.fixture(scope="module")
def models():
    """Two that nobody trained, of the same strategy, and one of another."""
    params = draw_params(small.BY_ROOM, jax.random.split(jax.random.key(1), 2))
    flat = draw_params(small.FLAT, jax.random.split(jax.random.key(2), 1))
    return {
        "a": Checkpoint(Model(small.BY_ROOM, take_run(params, 0), None), epoch=1),
        "b": Checkpoint(Model(small.BY_ROOM, take_run(params, 1), None), epoch=1),
        "flat": Checkpoint(Model(small.FLAT, take_run(flat, 0), None), epoch=1),
    }


@pytest.fixture(scope="module")
def found(models, store):
    every = evaluate(models, store, ["test"], LENGTHS, seed=3)
    return {name: evaluation.tested for name, evaluation in every}


@pytest.mark.parametrize("length", LENGTHS)
def test_metrics_are_those_of_a_store_cut_by_hand(
    models, store, found, tmp_path, length
):
    counts = np.asarray(store.sentences.lengths)
    spans = spans_of_length(counts, length, seed=3).tolist()
    museums = [
        dataclasses.replace(museum, sentences=museum.sentences[first : first + count])
        for museum, (first, count) in zip(small.records(), spans, strict=True)
    ]
    assert {len(museum.sentences) for museum in museums} == set(range(1, length + 1))
    cut = open_store(small.write(tmp_path / "cut", museums))
    for name, evaluation in evaluate(models, cut, ["test"]):
        assert found[name].by_length[length] == evaluation.tested.metrics


def test_whole_descriptions_are_what_they_are_without_lengths(models, store, found):
    for name, evaluation in evaluate(models, store, ["test"]):
        wanted = evaluation.tested
        assert found[name].metrics == wanted.metrics
        np.testing.assert_array_equal(found[name].descriptions, wanted.descriptions)
        assert wanted.by_length == {}
        assert list(wanted.lengths) == ["all"]


def test_lengths_do_not_depend_on_one_another(models, store, found):
    ((_, alone),) = evaluate({"b": models["b"]}, store, ["test"], [2], seed=3)
    ((_, other),) = evaluate({"b": models["b"]}, store, ["test"], [2], seed=4)
    assert alone.tested.by_length == {2: found["b"].by_length[2]}
    assert other.tested.by_length != alone.tested.by_length
    of_lengths = found["b"].lengths
    assert list(of_lengths) == ["1", "2", "4", "all"]
    assert of_lengths["all"]["t2s_mAP"] == found["b"].metrics["t2s_mAP"]
    assert {key[:4] for metrics in of_lengths.values() for key in metrics} == {"t2s_"}
