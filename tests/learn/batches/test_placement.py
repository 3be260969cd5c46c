"""Features fed from the host: the same batches, and the same losses."""

import jax
import numpy as np
import pytest

from hm3_jax.learn.batches import placement
from hm3_jax.learn.batches.gather import descriptions, scenes
from hm3_jax.learn.batches.placement import FromHost, OnDevice, place
from hm3_jax.learn.batches.plan import epoch_batches, packings
from hm3_jax.learn.devices import memory
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.settings import Execution
from tests.learn import small


@pytest.fixture(scope="module")
def layout() -> Layout:
    return small.one_device(2)


@pytest.mark.parametrize("block_bytes", [1, 3000, 2**30])
def test_a_fed_batch_holds_what_the_store_holds(
    features, counts, layout, monkeypatch, block_bytes
):
    monkeypatch.setattr(placement, "_BLOCK_BYTES", block_bytes)
    batches = np.stack(
        [epoch_batches(np.arange(42), 4, seed=0, attempt=k, epoch=0) for k in (1, 2)]
    )
    planned = counts.plan(batches, layout)
    capacity = counts.capacity([planned])
    blocks = list(FromHost(features, layout).feed([planned]).blocks(planned))
    assert sum(block.batches.steps for block in blocks) == planned.steps == 11
    assert len(blocks) == {1: 11, 2**30: 1}.get(block_bytes, len(blocks))
    if block_bytes == 3000:
        assert 1 < len(blocks) < 11
    shapes = {
        tuple(x.shape for x in jax.tree.leaves(block.features)) for block in blocks
    }
    assert len(shapes) == 1  # or each would be a compilation

    def held(features, museums, step, planned):
        packing = packings(
            planned.sentences[0, 0, 0, step], planned.sequence[0, 0, 0, step], capacity
        )
        with jax.disable_jit():
            text = descriptions(features, museums, packing, capacity).sentences
            scene = scenes(features, museums, packing, capacity)
        themes = np.asarray(features.themes)[museums[museums >= 0]]
        owned = {
            kind: (np.asarray(ragged.values)[: ragged.lengths.sum()], ragged.lengths)
            for kind, ragged in {"sentences": text, **scene.items}.items()
        }
        return jax.device_get((owned, scene.rooms, themes))

    for block in blocks:
        host = jax.device_get(block)
        for step in range(host.batches.steps):
            for run in (0, 1):
                at = host.first_step + step
                fed = held(
                    host.features.local(),
                    host.batches.museums[0, 0, run, step],
                    step,
                    host.batches,
                )
                whole = held(features, planned.museums[0, 0, run, at], at, planned)
                jax.tree.map(np.testing.assert_array_equal, fed, whole)


@pytest.mark.thorough
@pytest.mark.parametrize("block_bytes", [1, 2**30])
def test_fed_runs_lose_what_others_lose(
    store, folder, tmp_path, monkeypatch, block_bytes
):
    monkeypatch.setattr(placement, "_BLOCK_BYTES", block_bytes)
    execution = Execution(data_placement="host")
    found = small.train(store, tmp_path / "run", execution=execution, epochs=3)
    for attempt in (1, 2):
        small.same_losses(small.log(found, attempt), small.log(folder, attempt)[:3])


@pytest.mark.parametrize(("room", "kind"), [(3.0, OnDevice), (1.0, FromHost)])
def test_they_lie_on_the_device_where_there_is_room(
    features, layout, monkeypatch, room, kind
):
    available = int(room * features.bytes)
    monkeypatch.setattr(memory, "available", lambda device: available)
    assert type(place(features, layout, "auto")) is kind


def test_what_is_asked_for_is_not_questioned(features, layout, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda device: 0)
    assert isinstance(place(features, layout, "device"), OnDevice)
    assert isinstance(place(features, layout, "host"), FromHost)
