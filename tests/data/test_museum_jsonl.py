import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hm3_jax.data
from hm3_jax.data.museum_jsonl import (
    MuseumFiles,
    RawArtwork,
    RawMuseum,
    RawRoom,
    read_artworks,
    read_museum_files,
    write_museum_files,
)
from hm3_jax.data.raw_museum import artwork_from_json, museum_from_json

MUSEUM: dict[str, Any] = {
    "id": "m",
    "split": "train",
    "theme": "sea",
    "description": "One. Two.",
    "rooms": [{"views": ["a/1.jpg"], "images": ["mona"], "videos": ["v/c.mp4"]}],
}
ARTWORK = {"id": "mona", "path": "art/mona.jpg", "title": "Mona Lisa", "YEAR": 1503}

LIST = [
    RawMuseum(
        id="m-1",
        split="train",
        theme="portrait",
        description=(("Caffè.", "展覽"), (), ("Three.",)),
        rooms=(RawRoom(("v/1.jpg", "v/2.jpg"), ("mona", "./x.jpg")), RawRoom(("y",))),
        title="Musée",
    ),
    RawMuseum("m-2", "test", "genre", "A text.", (RawRoom(("3.jpg",)),)),
    RawMuseum("m-3", "val", "genre", ("A", " "), (RawRoom(("3.jpg",), (), ("mona",)),)),
]
ARTWORKS = [RawArtwork("mona", "art/mona.jpg", "Mona Lisa", {"YEAR": [1503, None]})]


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text(
        "".join(
            f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines
        )
    )
    return path


def changed(key: str, value: object, room: bool = False) -> dict[str, Any]:
    museum = copy.deepcopy(MUSEUM)
    (museum["rooms"][0] if room else museum)[key] = value
    return museum


def test_what_is_written_is_read(tmp_path):
    write_museum_files(tmp_path / "new" / "list", iter(LIST), iter(ARTWORKS))
    path = tmp_path / "new" / "list" / "museums.jsonl"
    files = read_museum_files(path)
    assert files == MuseumFiles(path, path.parent, tuple(LIST), {"mona": ARTWORKS[0]})
    first = json.loads(path.read_text().splitlines()[0])
    assert first == {
        "id": "m-1",
        "split": "train",
        "theme": "portrait",
        "description": [["Caffè.", "展覽"], [], ["Three."]],
        "rooms": [
            {"views": ["v/1.jpg", "v/2.jpg"], "images": ["mona", "./x.jpg"]},
            {"views": ["y"]},
        ],
        "title": "Musée",
    }
    assert "展覽" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_lists_of_all_editors(tmp_path, encoding):
    lines = [{**MUSEUM, "description": "Un café “du port”."}, {**MUSEUM, "id": "n"}]
    text = "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    path, artworks = tmp_path / "museums.jsonl", tmp_path / "artworks.jsonl"
    path.write_bytes(text.encode(encoding))
    artwork = json.dumps({**ARTWORK, "title": "Musée"}, ensure_ascii=False)
    artworks.write_bytes(artwork.encode(encoding))
    files = read_museum_files(path)
    assert [museum.description for museum in files.museums] == [
        "Un café “du port”.",
        "One. Two.",
    ]
    assert files.artworks["mona"].title == "Musée"


def test_a_list_without_artworks_is_one_file(tmp_path):
    write_museum_files(tmp_path / "list", [LIST[1]])
    assert [file.name for file in (tmp_path / "list").iterdir()] == ["museums.jsonl"]
    assert read_museum_files(tmp_path / "list" / "museums.jsonl").artworks == {}


@pytest.mark.parametrize(
    ("museums", "artworks", "complaint"),
    [
        (LIST, [], r"museums.jsonl:1: .*expected a path \(ids take an artworks"),
        ([LIST[1], LIST[1]], [], "museums.jsonl:2: expected every id once"),
        ([], ARTWORKS, "museums.jsonl: expected at least one museum, found none"),
        ([LIST[1]], ARTWORKS * 2, "artworks.jsonl:2: expected every id once"),
    ],
)
def test_a_faulty_list_is_not_written(tmp_path, museums, artworks, complaint):
    with pytest.raises(ValueError, match=complaint) as caught:
        write_museum_files(tmp_path / "list", museums, artworks)
    assert str(caught.value).startswith(f"{tmp_path}/list/")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_stays(tmp_path):
    with pytest.raises(FileExistsError, match="path to make a museum list at, it ex"):
        write_museum_files(tmp_path, LIST, ARTWORKS)


def test_files_are_found(tmp_path):
    write_lines(tmp_path / "museums.jsonl", MUSEUM)
    write_lines(tmp_path / "artworks.jsonl", ARTWORK)
    (tmp_path / "data" / "real").mkdir(parents=True)
    (tmp_path / "data" / "a").symlink_to("real")
    files = read_museum_files(tmp_path / "museums.jsonl", root=tmp_path / "data")
    data = tmp_path.resolve() / "data"
    assert files.path_of("mona") == data / "art" / "mona.jpg"
    assert files.path_of("a/1.jpg") == data / "real" / "1.jpg"
    assert files.path_of("./a//1.jpg") == data / "real" / "1.jpg"
    (tmp_path / "data" / "v").symlink_to("..")
    with pytest.raises(ValueError, match="expected a place in the input root .*a link"):
        files.path_of("v/c.mp4")
    (tmp_path / "data" / "real" / "out.jpg").symlink_to("../../far.jpg")
    (tmp_path / "data" / "real" / "in.jpg").symlink_to("../near.jpg")
    assert files.path_of("a/in.jpg") == data / "near.jpg"
    with pytest.raises(ValueError, match="a link to .*/far.jpg"):
        files.path_of("a/out.jpg")
    for path in ("../x", "/x", "a/../x", ""):
        with pytest.raises(ValueError, match="expected a path"):
            files.path_of(path)


def test_a_root_must_be_there(tmp_path):
    write_lines(tmp_path / "museums.jsonl", MUSEUM)
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder"):
        read_museum_files(tmp_path / "museums.jsonl", root=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected a file of JSON lines"):
        read_museum_files(tmp_path)


def test_blank_lines_and_byte_order_marks_pass(tmp_path):
    path = tmp_path / "museums.jsonl"
    text = "\n" + json.dumps(changed("images", [], room=True)) + "\r\n  \n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [museum.id for museum in read_museum_files(path).museums] == ["m"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "expected JSON, found"),
        ("[" * 99999, "expected JSON, found"),
        ('{"id": NaN}', "expected JSON, found NaN"),
        ('{"id": "a", "id": "b"}', "found a key twice in one object"),
        ('{"id": "\\ud83d"}', "expected JSON, found .*surrogates"),
        ("[]", "expected an object, found a list"),
        ({"id": "m"}, "found no split and no theme and no rooms"),
        (changed("url", 1), "expected only the keys id, .*title, found 'url'"),
        (changed("id", 7), "id: expected a non-empty name .*found 7"),
        (changed("id", "a\n"), "id: expected a non-empty name"),
        (
            changed("id", "a\x85"),
            r"id: expected a .* control characters, found 'a\\x85'",
        ),
        (changed("id", "a\u200b"), r"without invisible characters, found 'a\\u200b'"),
        (changed("title", "a\u2028"), r"title: expected a .*, found 'a\\u2028'"),
        (changed("split", "validation"), "split of train, val, test, found 'valid"),
        (changed("split", ["test"]), r"split of train, val, test, found \['test'\]"),
        (changed("theme", ""), "theme: expected a non-empty name"),
        (changed("title", None), "title: expected a non-empty name"),
        (changed("description", ""), "description: expected text, found none"),
        (changed("description", []), "description: expected text, found none"),
        (changed("description", [" ", "\n"]), "expected text, found none"),
        (changed("description", [[], []]), "expected text, found none"),
        (changed("description", {"a": 1}), "by room, found an object"),
        (changed("description", None), "by room, found null"),
        (changed("description", ["a", ["b"]]), "expected a sentence, found a list"),
        (changed("description", [["b"], "a"]), 'list of sentences, found "a"'),
        (changed("description", [["b", 3]]), "expected a sentence, found 3"),
        (changed("description", ["x", True]), "expected a sentence, found true"),
        (changed("rooms", []), "expected at least one of the rooms, found none"),
        (changed("rooms", "r"), 'rooms: expected a list of rooms, found "r"'),
        (changed("rooms", [[]]), "room 0: expected an object, found a list"),
        (changed("rooms", [{}]), "room 0: expected the keys views, found no views"),
        (changed("views", [], True), "views: expected at least one of the paths"),
        (changed("views", [3], True), "views: expected a path .*found 3"),
        (changed("views", ["/etc/passwd"], True), "inside the input root .*'/etc"),
        (changed("views", ["a/../../b"], True), "inside the input root"),
        (changed("views", ["a\\b.jpg"], True), "expected / between folders"),
        (changed("views", ["mona"], True), "found 'mona', an artwork's id; .*'./mona'"),
        (changed("sounds", [], True), "keys views, images, videos, title, found"),
        (changed("images", "mona", True), "images: expected a list of ids or paths"),
        (changed("images", ["lisa"], True), "an id of artworks.jsonl, found 'lisa'"),
        (changed("videos", ["c.mp4"], True), "found 'c.mp4'; .* write './c.mp4'"),
        (changed("videos", ["../c.mp4"], True), "videos: expected a path inside the"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path, line, complaint):
    path = write_lines(tmp_path / "museums.jsonl", changed("id", "n"), "", line)
    write_lines(tmp_path / "artworks.jsonl", ARTWORK)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_museum_files(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ({"id": "a"}, "expected the keys id, path, found no path"),
        ({"id": "", "path": "a"}, "id: expected a non-empty name"),
        ({"id": "\ufeffa", "path": "a"}, "id: expected an id without invisible"),
        ({"id": "a", "path": "../a"}, "path: expected a path inside the input root"),
        ({"id": "a", "path": None}, "path: expected a path"),
        ({"id": "a", "path": "a", "title": 1}, "title: expected a non-empty name"),
        (ARTWORK, "expected every id once, found 'mona', which line 1 has"),
    ],
)
def test_faults_of_artworks_are_named_with_their_line(tmp_path, line, complaint):
    path = write_lines(tmp_path / "artworks.jsonl", ARTWORK, line)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_artworks(path)
    assert str(caught.value).startswith(f"{path}:2: ")


def test_ids_take_a_file_of_artworks(tmp_path):
    path = write_lines(tmp_path / "museums.jsonl", MUSEUM)
    with pytest.raises(ValueError, match="images: expected a path .*found 'mona'"):
        read_museum_files(path)
    write_lines(path, changed("images", ["mona.jpg"], room=True))
    assert read_museum_files(path).museums[0].rooms[0].images == ("mona.jpg",)


def schema(name: str) -> jsonschema.Draft202012Validator:
    folder = Path(hm3_jax.data.__file__).parent / "schemas"
    value = json.loads((folder / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(value)
    return jsonschema.Draft202012Validator(value)


TEXTS = st.sampled_from(
    ["", " ", "a", "a.jpg", "./a", "/a", "..", "a/..", "a/../b", "..a/b..", "a\\b"]
    + [
        "a\n",
        "\x7f",
        "\x85",
        "\u2028",
        "a\u200b",
        "\u202ea",
        "\ufeffa",
        "\u2003",
        "train",
        "val",
        "展",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner),
    max_leaves=4,
)
LISTS = st.lists(TEXTS, max_size=3)
ROOMS = st.fixed_dictionaries(
    {"views": LISTS | VALUES},
    optional={"images": LISTS | VALUES, "videos": LISTS, "else": TEXTS},
)
EDITS = st.one_of(
    st.tuples(st.sampled_from(["id", "split", "theme", "title", "else"]), VALUES),
    st.tuples(st.just("description"), LISTS | st.lists(LISTS, max_size=3) | VALUES),
    st.tuples(st.just("rooms"), st.lists(ROOMS, max_size=2) | VALUES),
)


@given(st.lists(EDITS, max_size=2), st.none() | st.sampled_from([*MUSEUM]))
def test_the_schema_of_museums_accepts_what_the_reader_does(edits, dropped):
    museum = MUSEUM | dict(edits)
    museum.pop(dropped, None)
    assert schema("museum").is_valid(museum) == accepts(museum_from_json, museum)


@given(st.dictionaries(st.sampled_from(["id", "path", "title", "x"]), VALUES) | VALUES)
def test_the_schema_of_artworks_accepts_what_the_reader_does(value):
    if isinstance(value, dict):
        value = ARTWORK | value
    assert schema("artwork").is_valid(value) == accepts(artwork_from_json, value)


def accepts(parse, value) -> bool:
    try:
        parse(value, "here")
    except ValueError:
        return False
    return True


def test_the_documented_list_is_one(tmp_path, repository):
    text = (repository / "docs" / "museum_list.md").read_text()
    blocks = [block.split("\n```")[0] for block in text.split("```json\n")[1:]]
    museum, artwork = map(json.loads, blocks)
    path = write_lines(tmp_path / "museums.jsonl", museum)
    write_lines(tmp_path / "artworks.jsonl", artwork)
    files = read_museum_files(path)
    assert files.path_of("aivazovsky-9").name == "ninth_wave.jpg"
    assert files.artworks["aivazovsky-9"].facts == {"year": 1850}
    museum["rooms"][0]["images"][0] = "aivazovsky-8"
    write_lines(path, *["" for _ in range(16)], museum)
    with pytest.raises(ValueError) as caught:
        read_museum_files(path)
    assert str(caught.value).replace(f"{tmp_path}/", "") in text
