import numpy as np
import pytest

from hm3_jax.objective.late_interaction import MuseumVectors
from hm3_jax.objective.room_recall import RoomRecall, room_recall


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def museum_vectors(items, rooms):
    """Museums of items and their rooms, with nothing else about them."""
    count, total = len(items), sum(map(len, items))
    return MuseumVectors(
        items=np.concatenate(items),
        offsets=np.cumsum([0, *map(len, items)]),
        rooms=np.concatenate(rooms).astype(np.int32),
        kinds=np.zeros(total, np.uint8),
        places=np.zeros(total, np.int32),
        bias=np.zeros(count, np.float32),
        vectors=np.zeros((count, 0), np.float32),
        themes=np.zeros((count, 0), np.float32),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_it_is_what_a_plain_loop_counts(dtype):
    rng = np.random.default_rng(0)
    items = [unit(rng.standard_normal((n, 6))).astype(dtype) for n in (5, 1, 8, 3)]
    rooms = [rng.integers(3, size=len(of_museum)) for of_museum in items]
    queries = [unit(rng.standard_normal((n, 6))) for n in (4, 2, 7, 3)]
    wanted = [rng.integers(-1, 3, size=len(of_museum)) for of_museum in queries]
    hits, shares = [], []
    for museum in range(4):
        for vector, room in zip(queries[museum], wanted[museum], strict=True):
            if room < 0:
                continue
            best, in_room, where = -2.0, 0, -1
            for item, of_item in zip(items[museum], rooms[museum], strict=True):
                cosine = sum(
                    float(a) * float(b) for a, b in zip(vector, item, strict=True)
                )
                if cosine > best:
                    best, where = cosine, of_item
                in_room += of_item == room
            hits.append(where == room)
            shares.append(in_room / len(items[museum]))
    assert 0 < sum(hits) < len(hits)
    found = room_recall(queries, wanted, museum_vectors(items, rooms))
    assert found is not None
    assert found.sentences == len(hits)
    assert found.recall == pytest.approx(100 * sum(hits) / len(hits))
    assert found.chance == pytest.approx(100 * sum(shares) / len(shares))


def test_of_equal_items_the_first_is_the_best():
    items = [np.eye(2, dtype=np.float32)[[0, 1, 1, 0]]]
    query = [np.array([[0, 1]], np.float32)]
    vectors = museum_vectors(items, [np.array([0, 2, 1, 0])])
    assert room_recall(query, [np.array([2])], vectors) == RoomRecall(100, 25, 1)
    assert room_recall(query, [np.array([1])], vectors) == RoomRecall(0, 25, 1)


def test_without_a_sentence_that_knows_its_room_there_is_nothing_to_say():
    items = [np.eye(2, dtype=np.float32)]
    vectors = museum_vectors(items, [np.array([0, 1])])
    assert room_recall([np.eye(2, dtype=np.float32)], [np.full(2, -1)], vectors) is None
