"""The kinds of input: one table, and nothing else is taken for one of them."""

import dataclasses

import numpy as np
import pytest

from hm3_jax.data.museum import RoomRecord
from hm3_jax.data.raw_museum import RawRoom
from hm3_jax.data.store import FeatureStore, open_store
from hm3_jax.extraction.plan import PlannedRoom
from hm3_jax.files.input_kinds import ARTWORK_KINDS, INPUT_KINDS, KINDS, ROOM_KINDS
from tests.learn import small


def test_kinds_are_in_the_order_in_which_strategies_concatenate_them():
    assert KINDS == ("sentences", "views", "images", "videos")
    assert ROOM_KINDS == tuple(INPUT_KINDS)
    assert ARTWORK_KINDS == ("images", "videos")


@pytest.mark.parametrize("record", [RoomRecord, RawRoom, PlannedRoom])
def test_rooms_have_a_field_for_every_kind(record):
    names = [field.name for field in dataclasses.fields(record)]
    assert [name for name in names if name in KINDS] == list(ROOM_KINDS)


def test_stores_have_a_field_for_every_kind():
    names = [field.name for field in dataclasses.fields(FeatureStore)]
    assert [name for name in names if name in KINDS] == list(KINDS)


@pytest.mark.parametrize("kind", ["sounds", "views", "sentences", "hung"])
def test_another_kind_is_refused_not_taken_for_videos(tmp_path, kind):
    view = np.ones((1, 4), np.float32)
    record = RoomRecord(view, images=("a",), videos=("b",))
    planned = PlannedRoom((0,), ("a",), ("b",))
    store = open_store(small.write(tmp_path / "store"))
    for ask in (record.hung, planned.hung, store.artworks):
        with pytest.raises(ValueError, match=f"images or videos, found '{kind}'"):
            ask(kind)
    assert (record.hung("images"), planned.hung("videos")) == (("a",), ("b",))
