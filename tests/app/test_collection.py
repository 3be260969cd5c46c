"""From a folder of pictures to an index and the page's list, and what changes later."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from hm3_jax.app import collection
from hm3_jax.app.collection import CollectionSettings, make_collection
from hm3_jax.data.museum_jsonl import read_museum_files
from hm3_jax.data.store import open_store
from hm3_jax.extraction.clip_choice import ClipChoice
from hm3_jax.extraction.presets import Preset
from hm3_jax.retrieval.index import open_index
from tests.app.own_museums import MUSEUMS, write_museum, write_museums
from tests.extraction.museum_folder import write_picture

pytest.importorskip("open_clip", reason="needs open_clip")


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.extraction.clips import QUICK, random_clip, save_folder

    return save_folder(tmp_path_factory.mktemp("clip"), QUICK, random_clip(QUICK))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve museums, a third of them without a description; not to be changed."""
    top = write_museums(tmp_path_factory.mktemp("museums"))
    (top / "museum 1" / "Calm" / "view 0.jpg").write_bytes(b"no picture")
    (top / "museum 3" / "Storm" / "scan.xyz").write_bytes(b"")
    return top


def settings_of(source: Path, output: Path, clip_folder: Path) -> CollectionSettings:
    return CollectionSettings(
        source=source,
        output=output,
        preset=Preset(ClipChoice(None, str(clip_folder), "float32")),
        device="cpu",
        num_workers=0,
    )


def museums_of(output: Path) -> list[str]:
    index = open_index(output / "index")
    return [museum.id for museum in index.some(range(len(index)))]


@pytest.fixture(scope="module")
def made(
    folder: Path, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A collection of all twelve, and what was said; not to be changed."""
    output = tmp_path_factory.mktemp("made") / "collection"
    said: list[str] = []
    make_collection(settings_of(folder, output, clip_folder), said.append)
    return output, said


def test_twelve_museums_are_found(made, folder):
    output, said = made
    assert museums_of(output) == [f"museum {number}" for number in range(MUSEUMS)]
    steps = [line for line in said if line[1:3] == "/3"]
    assert [line[:3] for line in steps] == ["1/3", "2/3", "3/3"]
    assert sum(line.startswith("  took ") for line in said) == 3
    assert "12 museums, 18 rooms, 36 views, 4 without a description" in said
    assert said[-1].startswith("ready after ") and said[-1].endswith(f": {output}")
    store = open_store(output / "store")
    assert store.undescribed == 4
    assert {name: len(rows) for name, rows in store.splits.items()} == {"test": 8}


def test_what_was_left_out_is_listed_with_the_reason(made, folder):
    output, said = made
    assert (output / "left_out.txt").read_text() == (
        "files of no use here:\n"
        f"  {folder}/museum 3/Storm/scan.xyz\n\n"
        "left out: expected a picture, found something else\n"[:-1]
        + ":\n"
        "  museum 1/Calm/view 0.jpg\n"
    )
    *_, use, unread, file, _ = said
    assert use.startswith("note: files of no use here: 1 (")
    assert unread == (
        "note: left out: expected a picture, found something else: 1 (museum 1/Calm/"
        "view 0.jpg)"
    )
    assert file == f"note: {output / 'left_out.txt'} lists everything that was left out"


def test_the_page_has_what_the_store_has(made, folder):
    output, _ = made
    listed = read_museum_files(output / "page" / "museums.jsonl", root=folder)
    store = open_store(output / "store")
    views = [len(room.views) for museum in listed.museums for room in museum.rooms]
    assert views == store.views.lengths.tolist()
    calm, storm = listed.museums[1].rooms
    assert calm.views == ("museum 1/Calm/view 1.jpg",)
    assert (calm.title, storm.title) == ("Calm", "Storm")
    assert listed.museums[0].rooms[0].title is None
    index = open_index(output / "index")
    (held,) = index.some([1])
    assert [room["title"] for room in held.detail["rooms"]] == ["Calm", "Storm"]


def test_the_same_command_takes_what_has_changed(folder, clip_folder, made, tmp_path):
    source, output = tmp_path / "museums", tmp_path / "collection"
    shutil.copytree(folder, source)
    shutil.copytree(made[0], output)
    settings = settings_of(source, output, clip_folder)
    index = (output / "made.json").read_bytes()
    said: list[str] = []
    make_collection(settings, said.append)
    # The same bytes as if it had been made here: nothing to embed.
    assert f"{output / 'index'} is up to date" in said
    assert (output / "made.json").read_bytes() == index

    shutil.rmtree(source / "museum 2")
    write_museum(source / "museum 20", 20)
    write_picture(source / "museum 1" / "Calm" / "view 0.jpg", 7)
    (source / "museum 3" / "Storm" / "scan.xyz").unlink()
    make_collection(settings, said.append)
    wanted = [f"museum {number}" for number in (0, 1, *range(3, MUSEUMS), 20)]
    assert museums_of(output) == wanted
    store = open_store(output / "store")
    views = [len(room) for room in (store.views[1], store.views[2])]
    assert store.ids == tuple(wanted) and views == [2, 2]
    assert not (output / "left_out.txt").exists()


@pytest.mark.parametrize(
    "name", ["made.json", "index/manifest.json", "theme_index.npy"]
)
def test_a_damaged_index_is_made_anew(folder, clip_folder, made, tmp_path, name):
    output = shutil.copytree(made[0], tmp_path / "collection")
    damaged = next(output.glob(f"**/generation-1/{name}"), output / name)
    wanted = damaged.read_bytes()
    damaged.write_bytes(wanted[:-2] + b"?!")
    said: list[str] = []
    make_collection(settings_of(folder, output, clip_folder), said.append)
    assert damaged.read_bytes() == wanted
    assert f"{output / 'index'} is up to date" not in said
    notes = [line for line in said if line.endswith("; the index is made anew")]
    assert len(notes) == (name != "made.json")


def test_an_interrupted_command_goes_on(folder, clip_folder, tmp_path, monkeypatch):
    source, output = tmp_path / "museums", tmp_path / "collection"
    for number in range(2):
        shutil.copytree(folder / f"museum {number}", source / f"museum {number}")
    settings = settings_of(source, output, clip_folder)

    def stopped(line: str) -> None:
        if line.startswith("pictures: "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_collection(settings, stopped)
    assert (output / "store.extraction").is_dir()
    # What came meanwhile is taken too, once the rest is done.
    write_museum(source / "museum 5", 5)
    said: list[str] = []
    make_collection(settings, said.append)
    assert said[0] == "continuing what was interrupted"
    assert museums_of(output) == ["museum 0", "museum 1", "museum 5"]
    assert not (output / "store.extraction").exists()


def test_what_is_no_folder_of_museums_is_refused(tmp_path, clip_folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    settings = settings_of(tmp_path / "empty", tmp_path / "new", clip_folder)
    with pytest.raises(ValueError, match="empty: expected folders of museums with"):
        make_collection(settings, lambda line: None)
    other = dataclasses.replace(settings, output=tmp_path / "other")
    with pytest.raises(FileExistsError, match="or one that this command made, found"):
        make_collection(other, lambda line: None)
    nowhere = dataclasses.replace(settings, source=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere: expected a folder, found"):
        make_collection(nowhere, lambda line: None)


def test_every_name_of_a_file_is_in_the_table(made):
    output, _ = made
    documented = collection.__doc__ or ""
    for path in output.iterdir():
        assert f"| `{path.name}{'/' * path.is_dir()}` |" in documented
