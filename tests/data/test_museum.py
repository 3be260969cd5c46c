import dataclasses

import numpy as np
import pytest

from hm3_jax.data.museum import (
    ArtworkTable,
    RoomRecord,
    check_museum,
    check_table,
    first_repeated,
)
from tests.data.museum_sets import SIZES, artwork_tables, museums

KNOWN = {kind: set(table.ids) for kind, table in artwork_tables().items()}
VIEWS = np.ones((2, SIZES["views"]), np.float32)


def faulty(values, row, value):
    values = values.copy()
    values[row] = value
    return values


def check(record, known=KNOWN):
    check_museum(record, SIZES, known, "folder/file.pickle")


def test_sound_museums_pass():
    for record in museums(30):
        check(record)
        check(dataclasses.replace(record, sentence_texts=None))


MANY = np.ones((3, SIZES["sentences"]), np.float32)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"id": ""}, "non-empty name"),
        ({"id": "two\nlines"}, "control characters"),
        ({"id": "\ud800"}, "control characters"),
        ({"id": "next\x85line"}, "control characters"),
        ({"id": "mona\u200b"}, "invisible characters"),
        ({"id": "\u202emona"}, "invisible characters"),
        ({"id": "mo\u0085na"}, "without control characters"),
        *(
            ({"id": f"mo{character}na"}, "invisible characters")
            for character in "\u034f\u115f\u180e\u2800\u3164\uffa0\ufff9\U000e0061"
        ),
        ({"theme": ""}, "theme: expected a non-empty name"),
        ({"split": "validation"}, "split of train, val, test, found 'validation'"),
        ({"sentences": MANY[:0, :5]}, "expected at least one row, found none"),
        ({"sentences": MANY[0]}, "found float32 of shape (6,)"),
        ({"sentences": MANY.astype(int)}, "matrix of floats, found int64"),
        ({"sentences": MANY[:, :5]}, "sentences: expected features of size 6, found 5"),
        ({"sentences": faulty(MANY, 1, np.nan)}, "row 1 holds NaN or infinity"),
        ({"sentences": faulty(MANY, (2, 3), -np.inf)}, "row 2 holds NaN or infinity"),
        ({"sentences": faulty(MANY, 2, 0)}, "row 2 holds only zeros"),
        ({"rooms": ()}, "at least one room, found none"),
        ({"rooms": (RoomRecord(VIEWS), RoomRecord(VIEWS[:0]))}, "room 1, views"),
        ({"rooms": (RoomRecord(VIEWS[:, :3]),)}, "room 0, views: expected features"),
        ({"rooms": (RoomRecord(VIEWS, images=("x",)),)}, "among the images, found 'x'"),
        ({"rooms": (RoomRecord(VIEWS, videos=("y",)),)}, "among the videos, found 'y'"),
        ({"sentence_texts": ("only one",)}, "each of 3 sentence features, found 1"),
        ({"sentence_rooms": (0, -1)}, "one room for each of 3 sentence features, fou"),
        ({"sentence_rooms": (0, -1, 9)}, "sentence 2: expected a room from 0 to"),
        ({"sentence_rooms": (-2, 0, 0)}, "or -1 where it is not known, found -2"),
    ],
)
def test_a_faulty_museum_is_refused_by_name(change, complaint):
    record = dataclasses.replace(
        museums()[0], id="the-museum", sentences=MANY, sentence_texts=None
    )
    with pytest.raises(ValueError) as caught:
        check(dataclasses.replace(record, **change))
    message = str(caught.value)
    assert complaint in message
    assert message.startswith("folder/file.pickle: museum")
    assert "id" in change or "the-museum" in message
    assert "\n" not in message


def test_artworks_of_a_kind_that_the_set_lacks_are_unknown():
    record = next(m for m in museums(30) if any(room.videos for room in m.rooms))
    with pytest.raises(ValueError, match="known id among the videos"):
        check(record, {"images": KNOWN["images"]})


@pytest.mark.parametrize(
    ("ids", "features", "complaint"),
    [
        (
            ("a", "a"),
            np.ones((2, 3)),
            "images: expected every id once, found 'a' twice",
        ),
        (("a",), np.ones((2, 3)), "one feature for each of 1 ids, found 2"),
        (("a", ""), np.ones((2, 3)), "id among the images: expected a non-empty name"),
        (("a", "b"), np.ones((2, 4)), "expected features of size 3, found 4"),
        (("a", "b"), np.array([[1.0, 2, 3], [0, 0, 0]]), "row 1 holds only zeros"),
    ],
)
def test_a_faulty_table_is_refused(ids, features, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_table(ArtworkTable(ids, features), 3, "images", "folder")


def test_first_repeated_finds_the_earliest_second_occurrence():
    assert first_repeated("abcbca") == "b"
    assert first_repeated("abc") is None
