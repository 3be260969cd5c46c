import pytest

from hm3_jax.data.museum_jsonl import RawMuseum, RawRoom
from hm3_jax.data.raw_sources import common, folder
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


def write_tree(top, tree):
    for name, text in tree.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return top


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
            (
                RawRoom((f"{hills}/a/1.jpg",), title="a"),
                RawRoom((f"{hills}/b/1.jpg",), title="b"),
            ),
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
                    title="room 2",
                ),
                RawRoom((f"{HARBOUR}/room 10/b.PNG",), title="room 10"),
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
        | {f"train/x/dark {i}/description.txt": "Dark." for i in range(4)}
        | {
            "train/x/dim/dark/1.txt": "",
            "train/x/dim/dark/images/1.mp4": "",
            "train/x/dim/light/1.jpg": "",
        },
    )
    raw = read_folder(tmp_path)
    assert [museum.id for museum in raw.museums][2:] == ["dim", "small"]
    assert raw.museums[2].rooms == (
        RawRoom(("train/x/dim/light/1.jpg",), title="light"),
    )
    dim = f"{tmp_path}/train/x/dim/dark"
    assert raw.notes == (
        "left out, because they have no picture: 4 (dark 0, dark 1, dark 2, ...)",
        f"files of no use here: 2 ({dim}/1.txt, {dim}/images/1.mp4)",
        f"left out, because the room has no picture: 1 ({dim})",
    )
    # The notes name three, this all.
    dark = raw.left_out["left out, because they have no picture"]
    assert dark == [f"dark {i}" for i in range(4)]


def test_museums_without_a_description_are_found_by_their_pictures(tmp_path):
    tree = {"train/x/mute/r/1.jpg": "", "train/x/blank/description.txt": " \n"}
    write_tree(tmp_path, tree | {"train/x/blank/1.jpg": ""})
    raw = read_folder(tmp_path)
    assert [(m.id, m.description) for m in raw.museums] == [("blank", ()), ("mute", ())]
    assert raw.notes == ()


def test_folders_of_splits_and_themes_may_be_left_out(tmp_path):
    tree = {
        "small/1.jpg": "",
        "large/Calm/1.jpg": "",
        "large/Calm/images/1.jpg": "",
        "large/Storm/1.jpg": "",
        "said/description.txt": "Deep.",
        "said/a/1.jpg": "",
        "said/a/b/1.jpg": "",
        "sea/harbour/quay/1.jpg": "",
        "sea/beach/1.jpg": "",
        "Thumbs.db": "",
        "cover.jpg": "",
    }
    raw = read_folder(write_tree(tmp_path, tree))
    assert [(m.id, m.split, m.theme) for m in raw.museums] == [
        ("large", "test", "no theme"),
        ("said", "test", "no theme"),
        ("beach", "test", "sea"),
        ("harbour", "test", "sea"),
        ("small", "test", "no theme"),
    ]
    titles = [[room.title for room in museum.rooms] for museum in raw.museums]
    assert titles == [["Calm", "Storm"], ["a"], [None], ["quay"], [None]]
    assert raw.notes == (
        "left out, because they are beside folders of museums, not in one: 1 "
        f"({tmp_path}/cover.jpg)",
        f"left out, because they are folders inside of a room: 1 ({tmp_path}/said/a/b)",
    )


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"validation/sea/m/r/1.jpg": ""}, "validation: expected a folder named train"),
        (
            {"test/x/small/1.jpg": ""},
            "val/sea/small: expected every museum's name once",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, extra, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_folder(write_tree(tmp_path, TREE | extra))


@pytest.mark.parametrize(
    ("name", "shown", "what"),
    [
        ("1.jpg", "1.jpg", "beside folders of museums, not in one"),
        ("train/1.jpg", "train/1.jpg", "beside folders of museums, not in one"),
        ("train/sea/description.txt", None, "beside folders of museums, not in one"),
        (f"{HARBOUR}/1.jpg", None, "beside folders of rooms, not in one"),
        (f"{HARBOUR}/images/1.jpg", f"{HARBOUR}/images", "beside folders of rooms, n"),
        (f"{HARBOUR}/room 2/x/1.jpg", f"{HARBOUR}/room 2/x", "folders inside of a roo"),
    ],
)
def test_what_lies_in_the_wrong_place_is_named(tmp_path, name, shown, what):
    plain = read_folder(write_tree(tmp_path, TREE))
    raw = read_folder(write_tree(tmp_path, {name: ""}))
    assert raw.museums == plain.museums
    (note,) = raw.notes
    assert note.startswith(f"left out, because they are {what}")
    assert note.endswith(f": 1 ({tmp_path / (shown or name)})")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_descriptions_of_all_editors(tmp_path, encoding):
    write_tree(tmp_path, TREE)
    path = tmp_path / HARBOUR / "description.txt"
    path.write_bytes("Un café\r\n“du port”.\r\n".encode(encoding))
    text = read_folder(tmp_path).museums[1].description
    assert text == "Un café\n“du port”.\n\nShips. A café."


def test_what_is_no_text_is_named(tmp_path):
    write_tree(tmp_path, TREE)
    path = tmp_path / HARBOUR / "description.txt"
    path.write_bytes(b"caf\x8d")
    with pytest.raises(ValueError, match=f"{path}: expected text in UTF-8 or Windows"):
        read_folder(tmp_path)


def test_names_may_be_in_capitals(tmp_path):
    changed = {
        name.replace("train/", "Train/")
        .replace("images/", "Images/")
        .replace("videos/", "VIDEOS/")
        .replace("description.txt", "Description.TXT"): text
        for name, text in TREE.items()
    }
    assert changed.keys() != TREE.keys()
    raw = read_folder(write_tree(tmp_path / "capitals", changed))
    plain = read_folder(write_tree(tmp_path / "plain", TREE))
    assert raw.notes == ()

    def lowered(museum):
        paths = [
            path.lower()
            for room in museum.rooms
            for path in (*room.views, *room.images, *room.videos)
        ]
        return museum.id, museum.split, museum.theme, museum.description, paths

    # Of both spellings of a split, neither is lost.
    assert list(map(lowered, raw.museums)) == list(map(lowered, plain.museums))


def test_two_descriptions_of_one_museum_are_named(tmp_path):
    write_tree(tmp_path, TREE | {f"{HARBOUR}/Description.txt": "Another."})
    with pytest.raises(ValueError, match="harbour museum: expected 'description.txt' "):
        read_folder(tmp_path)


LEFT_BEHIND = [
    *("@eaDir/view 9.jpg/SYNOPHOTO_THUMB_M.jpg", "@eaDir/1.jpg", "#recycle/1.jpg"),
    *("__MACOSX/1.jpg", ".AppleDouble/1.jpg", "lost+found/1.jpg", "._1.jpg"),
    *("Thumbs.db", "desktop.ini", "~$description.txt", "$RECYCLE.BIN/1.jpg"),
]


def test_what_systems_leave_behind_is_no_museum(tmp_path):
    plain = read_folder(write_tree(tmp_path / "t", TREE))
    room = f"{HARBOUR}/room 2"
    for place in ("", "train/", "train/sea/", f"{HARBOUR}/", f"{room}/"):
        write_tree(tmp_path / "t", {f"{place}{name}": "" for name in LEFT_BEHIND})
    write_tree(tmp_path / "t", {f"{room}/images/{name}": "" for name in LEFT_BEHIND})
    assert read_folder(tmp_path / "t") == plain


def test_every_picture_that_can_be_read_is_taken(tmp_path):
    names = ["a.jfif", "b.avif", "c.jp2", "d.tga", "e.JPE", "f.gif"]
    tree = {f"train/x/m/{name}": "" for name in names}
    raw = read_folder(write_tree(tmp_path, tree | {"train/x/m/description.txt": "M."}))
    assert raw.museums[0].rooms[0].views == tuple(f"train/x/m/{n}" for n in names)
    assert raw.notes == ()


def test_pictures_that_need_more_are_named_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "NEEDS_MORE", {".heic": "pillow-heif"})
    monkeypatch.setattr(folder, "PICTURE_SUFFIXES", frozenset([".png"]))
    tree = {f"train/x/m/{name}": "" for name in ("a.HEIC", "b.heic", "c.png")}
    raw = read_folder(write_tree(tmp_path, tree | {"train/x/m/description.txt": "M."}))
    assert raw.museums[0].rooms[0].views == ("train/x/m/c.png",)
    (note,) = raw.notes
    assert note.startswith(
        "left out, because they cannot be read without pillow-heif (pip install "
        f"pillow-heif): 2 ({tmp_path}/train/x/m/a.HEIC, "
    )


# No list can hold these. The first two are caf\xe9 in Latin-1.
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("train/sea/{m}/caf\udce9.jpg", r"{m}/caf\xe9.jpg"),
        ("train/sea/caf\udce9/1.jpg", r"train/sea/caf\xe9"),
        ("train/caf\udce9/m/1.jpg", r"train/caf\xe9"),
        ("train/sea/{m}/images/a\\b.png", "images/a\\b.png"),
        ("train/sea/{m}/a\nb.png", r"a\nb.png"),
    ],
)
def test_names_that_no_list_can_hold_are_left_out(tmp_path, name, shown):
    plain = read_folder(write_tree(tmp_path, TREE))
    room = "harbour museum/room 2"
    write_tree(tmp_path, {name.format(m=room): ""})
    raw = read_folder(tmp_path)
    assert raw.museums == plain.museums
    (note,) = raw.notes
    assert note.startswith("left out, because their names are not UTF-8 or have")
    assert f": 1 ({tmp_path}/" in note
    assert shown.format(m=room) in note


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
