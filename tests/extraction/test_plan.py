"""Plans: every distinct item once, museums in terms of items."""

import dataclasses
import json

import pytest

from hm3_jax.data.museum_jsonl import read_museum_files
from hm3_jax.extraction.plan import Plan, make_plan
from hm3_jax.extraction.report import keep
from hm3_jax.extraction.texts import TextPiece, TextSplit
from tests.extraction.museum_folder import write_lines

MUSEUM = {
    "id": "a",
    "split": "train",
    "theme": "t",
    "description": ["One.", "Two.", " ", "One."],
    "rooms": [
        {"views": ["v/1.jpg", "v/./1.jpg"], "images": ["p", "v/1.jpg", "./q.jpg"]},
        {"views": ["v/2.jpg"], "images": ["p"], "videos": ["clip", "x/c.mp4"]},
    ],
}
ARTWORKS = [
    {"id": "p", "path": "art/p.jpg"},
    {"id": "p2", "path": "art/p.jpg"},
    {"id": "q.jpg", "path": "art/q.jpg"},
    {"id": "clip", "path": "x/c.mp4"},
]


def plan_of(folder, *museums, artworks=ARTWORKS):
    write_lines(folder / "museums.jsonl", list(museums))
    write_lines(folder / "artworks.jsonl", artworks)
    files = read_museum_files(folder / "museums.jsonl")
    return make_plan(files, TextSplit().pieces)


def test_items_are_distinct_files_and_texts(tmp_path):
    other = MUSEUM | {
        "id": "b",
        "description": ["Three.", "Two."],
        "rooms": [{"views": ["v/3.jpg", "v/2.jpg"], "images": ["p2"]}],
    }
    plan = plan_of(tmp_path, MUSEUM, other)
    assert [piece.text for piece in plan.texts] == ["One.", "Two.", "Three."]
    assert plan.pictures == ("v/1.jpg", "art/p.jpg", "q.jpg", "v/2.jpg", "v/3.jpg")
    assert plan.videos == ("x/c.mp4",)
    # Names stay apart that share a file, and files that share a name.
    assert plan.artworks == {
        "images": {"p": 1, "v/1.jpg": 0, "./q.jpg": 2, "p2": 1},
        "videos": {"clip": 0, "x/c.mp4": 0},
    }
    first, second = plan.museums
    assert first.texts == (0, 1, 0)
    assert second.texts == (2, 1)
    assert [room.views for room in first.rooms] == [(0, 0), (3,)]
    assert first.rooms[0].images == ("p", "v/1.jpg", "./q.jpg")
    assert first.rooms[1].hung("videos") == ("clip", "x/c.mp4")
    assert [room.views for room in second.rooms] == [(4, 3)]
    assert plan.empty_sentences == 1


@pytest.mark.parametrize(
    ("description", "wanted"),
    [
        ([["One.", " "], ["Two.", "Three."]], (0, 1, 1)),
        ([[], ["Two."]], (1,)),
        ([["About all."], ["One."], ["Two."]], None),
        (["One.", "Two."], None),
    ],
)
def test_rooms_of_texts_are_known_where_each_room_has_its_own(
    tmp_path, description, wanted
):
    plan = plan_of(tmp_path, MUSEUM | {"description": description})
    assert plan.museums[0].text_rooms == wanted
    assert Plan.from_json(plan.to_json().encode(), tmp_path / "plan.json") == plan


def test_windows_reach_over_rooms(tmp_path):
    write_lines(
        tmp_path / "museums.jsonl", [MUSEUM | {"description": [["One."], ["Two."]]}]
    )
    write_lines(tmp_path / "artworks.jsonl", ARTWORKS)
    files = read_museum_files(tmp_path / "museums.jsonl")
    plan = make_plan(files, lambda parts: [TextPiece(str(t), (1, 2)) for t in parts])
    assert len(plan.museums[0].texts) == 2
    assert plan.museums[0].text_rooms is None


def test_rooms_that_are_left_out_leave_the_numbers_of_the_others_right(tmp_path):
    third = {"views": ["v/3.jpg"]}
    plan = plan_of(
        tmp_path,
        MUSEUM
        | {
            "description": [["One."], ["Two.", "Three."], ["Four.", "One."]],
            "rooms": [*MUSEUM["rooms"], third],
        },
    )
    second, text = plan.pictures.index("v/2.jpg"), plan.texts.index(TextPiece("One."))
    failures = {"pictures": {second: "damaged"}, "texts": {text: "?"}, "videos": {}}
    (museum,) = keep(plan, failures).museums
    assert [plan.texts[t].text for t in museum.texts] == ["Two.", "Three.", "Four."]
    assert len(museum.rooms) == 2
    assert museum.text_rooms == (-1, -1, 1)


def test_a_linked_file_is_one_file(tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "1.jpg").touch()
    (tmp_path / "v" / "2.jpg").symlink_to("1.jpg")
    assert plan_of(tmp_path, MUSEUM).pictures[0] == "v/1.jpg"
    assert "v/2.jpg" not in plan_of(tmp_path, MUSEUM).pictures


def test_a_link_out_of_the_input_root_is_refused(tmp_path):
    (tmp_path / "list").mkdir()
    (tmp_path / "secret.jpg").touch()
    (tmp_path / "list" / "v").mkdir()
    (tmp_path / "list" / "v" / "2.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(ValueError, match=r"museum 'a': .*2\.jpg: expected a place in"):
        plan_of(tmp_path / "list", MUSEUM)


@pytest.mark.parametrize("tokens", [None, (49406, 7, 49407)])
def test_a_plan_comes_back_from_json(tmp_path, tokens):
    plan = plan_of(tmp_path, MUSEUM)
    plan = dataclasses.replace(plan, texts=(TextPiece("\u2028é", tokens), *plan.texts))
    assert Plan.from_json(plan.to_json().encode(), tmp_path / "plan.json") == plan
    assert json.loads(plan.to_json())["pictures"] == list(plan.pictures)
