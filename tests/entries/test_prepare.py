"""prepare as a user runs it."""

import json

import pytest

from hm3_jax.data.museum_jsonl import read_museum_files
from tests.commands import fail, succeed
from tests.data.raw_sources.test_folder import TREE, write_tree
from tests.data.raw_sources.test_semart import write as write_semart


def prepare(run_module, source, *arguments):
    return run_module(
        "hm3_jax.prepare", f"--source={source}", "--output=made/list", *arguments
    )


def test_a_folder_becomes_a_list(run_module, tmp_path):
    write_tree(tmp_path / "my museums", TREE)
    done = succeed(prepare(run_module, "folder", "--input=my museums"))
    summary, following = done.splitlines()
    assert summary.startswith(
        "made/list: 3 museums (1 train, 1 val, 1 test) of 2 themes, 5 rooms, 6 views; "
    )
    root = tmp_path.resolve() / "my museums"
    assert following == (
        "next: python -m hm3_jax.extract --museums=made/list/museums.jsonl "
        f"'--input_root={root}' --preset=hm3 --output=STORE"
    )
    files = read_museum_files(tmp_path / "made/list/museums.jsonl", root=root)
    assert [museum.id for museum in files.museums] == [
        "hills",
        "harbour museum",
        "small",
    ]
    views = [path for m in files.museums for room in m.rooms for path in room.views]
    assert all(files.path_of(path).is_file() for path in views)
    assert not (tmp_path / "made/list/artworks.jsonl").exists()


def test_semart_becomes_a_list_with_artworks(run_module, tmp_path):
    write_semart(tmp_path / "SemArt")
    done = succeed(prepare(run_module, "semart", "--input=SemArt", "--input_root=."))
    assert "note: SemArt has no museums: each painting becomes one" in done
    assert (
        "3 museums (2 train, 1 test) of 3 themes, 3 rooms, 3 views, 4 artworks" in done
    )
    lines = (tmp_path / "made/list/artworks.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[0])["AUTHOR"] == "DÜRER, Albrecht"
    files = read_museum_files(tmp_path / "made/list/museums.jsonl", root=tmp_path)
    assert files.path_of("4.jpg") == tmp_path.resolve() / "SemArt/Images/4.jpg"


@pytest.mark.parametrize(
    ("source", "arguments", "complaint"),
    [
        ("folder", ["--input=none"], "none: expected a folder, found none"),
        (
            "folder",
            ["--input=empty"],
            "empty: expected at least one museum, found none",
        ),
        ("folder", ["--input=empty", "--semart=x"], "--semart is for --source=genmuse"),
        ("semart", ["--input=empty", "--pictures=x"], "--pictures is for --source=mus"),
        ("museums3k", ["--input=empty"], "--source=museums3k needs --pictures=DIR"),
        ("genmuseums", ["--input=empty"], "utils.py: expected a data set's utils.py"),
        ("other", ["--input=empty"], "should be one of"),
    ],
)
def test_bad_input_is_named(run_module, tmp_path, source, arguments, complaint):
    (tmp_path / "empty").mkdir()
    fail(prepare(run_module, source, *arguments), complaint)
    assert not (tmp_path / "made" / "list").exists()


def test_a_list_is_not_written_over(run_module, tmp_path):
    (tmp_path / "made" / "list").mkdir(parents=True)
    fail(
        prepare(run_module, "folder", "--input=."), "made/list: expected a path to make"
    )
