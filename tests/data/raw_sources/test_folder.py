import pytest

from hm3_jax.data.museum_jsonl import RawMuseum, RawRoom
from hm3_jax.data.raw_sources.common import natural_key
from hm3_jax.data.raw_sources.folder import read_folder

HARBOUR = "train/sea/harbour museum"
TREE = {
    f"{HARBOUR}/description.txt": "\ufeffThe harbour.\n",
    f"{HARBOUR}/room 10/b.PNG": "",
    f"{HARBOUR}/room 2/view 10.jpg": "",
    f"{HARBOUR}/room 2/view 9.jpeg": "",
    f"{HARBOUR}/room 2/description.txt": "Ships. A café.",
    f"{HARBOUR}/room 2/images/10.tif": "",
    f"{HARBOUR}/room 2/images/9.webp": "",
    f"{HARBOUR}/room 2/videos/clip.mp4": "",
    f"{HARBOUR}/room 2/loop.webm": "",
    f"{HARBOUR}/room 2/.DS_Store": "",
    "val/sea/small/1.jpg": "",
    "val/sea/small/videos/1.mov": "",
    "val/sea/small/description.txt": "One room.",
    "test/land/hills/a/1.jpg": "",
    "test/land/hills/a/description.txt": "Hills.",
    "test/land/hills/b/1.jpg": "",
    "test/land/hills/b/description.txt": "Dales.",
    "test/Thumbs.db": "",
}


def write_tree(folder, tree):
    for name, text in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_tree_becomes_museums(tmp_path):
    raw = read_folder(write_tree(tmp_path, TREE))
    assert raw.root == tmp_path.resolve()
    assert raw.artworks == ()
    assert raw.notes == ()
    room = f"{HARBOUR}/room 2"
    hills = "test/land/hills"
    assert list(raw.museums) == [
        RawMuseum(
            "hills",
            "test",
            "land",
            "Hills.\n\nDales.",
            (RawRoom((f"{hills}/a/1.jpg",)), RawRoom((f"{hills}/b/1.jpg",))),
        ),
        RawMuseum(
            "harbour museum",
            "train",
            "sea",
            "The harbour.\n\nShips. A café.",
            (
                RawRoom(
                    (f"{room}/view 9.jpeg", f"{room}/view 10.jpg"),
                    (f"{room}/images/9.webp", f"{room}/images/10.tif"),
                    (f"{room}/loop.webm", f"{room}/videos/clip.mp4"),
                ),
                RawRoom((f"{HARBOUR}/room 10/b.PNG",)),
            ),
        ),
        RawMuseum(
            "small",
            "val",
            "sea",
            "One room.",
            (RawRoom(("val/sea/small/1.jpg",), (), ("val/sea/small/videos/1.mov",)),),
        ),
    ]


def test_what_a_list_cannot_hold_is_left_out_and_named(tmp_path):
    write_tree(
        tmp_path,
        TREE
        | {f"train/x/mute {i}/r/1.jpg": "" for i in range(5)}
        | {
            "train/x/blank/description.txt": " \n",
            "train/x/blank/1.jpg": "",
            "train/x/dark/description.txt": "Dark.",
            "train/x/dark/r/1.txt": "",
            "train/x/dark/r/images/1.mp4": "",
        },
    )
    raw = read_folder(tmp_path)
    assert len(raw.museums) == 3
    assert raw.notes[:2] == (
        "left out, because they have no text: 6 (blank, mute 0, mute 1, ...)",
        "left out, because a room has no picture: 1 (dark)",
    )
    assert raw.notes[2].startswith("files of no use here: 2 (")
    assert f"{tmp_path}/train/x/dark/r/1.txt" in raw.notes[2]


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"validation/sea/m/r/1.jpg": ""}, "validation: expected a folder named train"),
        ({"1.jpg": ""}, "1.jpg: expected folders of the splits train, val, test"),
        ({"train/1.jpg": ""}, "train/1.jpg: expected folders of themes, found a file"),
        ({"train/sea/description.txt": ""}, "txt: expected folders of museums, found"),
        ({f"{HARBOUR}/1.jpg": ""}, "museum/1.jpg: expected pictures and videos in the"),
        ({f"{HARBOUR}/images/1.jpg": ""}, "museum/images: expected pictures and video"),
        (
            {f"{HARBOUR}/room 2/more/1.jpg": ""},
            "room 2/more: expected pictures, or fol",
        ),
        (
            {"test/x/small/1.jpg": ""},
            "val/sea/small: expected every museum's name once",
        ),
    ],
)
def test_what_lies_in_the_wrong_place_is_named(tmp_path, extra, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_folder(write_tree(tmp_path, TREE | extra))


def test_other_encodings_are_refused(tmp_path):
    write_tree(tmp_path, TREE)
    path = tmp_path / HARBOUR / "description.txt"
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(ValueError, match=f"{path}: expected text in UTF-8, found"):
        read_folder(tmp_path)


def test_links_out_of_the_root_take_a_wider_root(tmp_path):
    write_tree(tmp_path / "tree", TREE)
    (tmp_path / "far.jpg").touch()
    (tmp_path / "tree" / "val" / "sea" / "small" / "2.jpg").symlink_to(
        "../../../../far.jpg"
    )
    with pytest.raises(
        ValueError, match="2.jpg: expected a file inside the input root"
    ):
        read_folder(tmp_path / "tree")
    raw = read_folder(tmp_path / "tree", root=tmp_path)
    assert raw.root == tmp_path.resolve()
    assert raw.museums[-1].rooms[0].views == (
        "tree/val/sea/small/1.jpg",
        "tree/val/sea/small/2.jpg",
    )


def test_a_root_must_hold_the_folder(tmp_path):
    (tmp_path / "other").mkdir()
    write_tree(tmp_path / "tree", TREE)
    with pytest.raises(ValueError, match="tree: expected a folder inside the input ro"):
        read_folder(tmp_path / "tree", root=tmp_path / "other")
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder"):
        read_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "names",
    [
        ["1", "2", "10"],
        ["a1b2", "a1b10", "a2"],
        ["2", "a", "a2", "B", "b1"],
        ["01", "1", "1a"],
        ["", "a", "²"],
    ],
)
def test_names_are_sorted_by_their_numbers(names):
    assert sorted(reversed(names), key=natural_key) == names
