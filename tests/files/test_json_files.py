"""JSON: every fault is one line with the place; no depth ends in a RecursionError."""

import json
import os

import pytest
from absl import flags

from hm3_jax.cli import sweep_points
from hm3_jax.data.store_format import Manifest
from hm3_jax.extraction.plan import Plan
from hm3_jax.files.json_files import (
    json_text,
    parse_json,
    read_json,
    read_object,
    write_json,
)
from hm3_jax.interop.release_folder import read_release_folder
from hm3_jax.interop.shared_facts import read_facts
from hm3_jax.learn.saved.run import RunRecord
from hm3_jax.nn.strategy_json import load_strategy
from hm3_jax.retrieval.index_format import IndexManifest

DEEP = {"deep": "[" * 100_000, "101 deep": "[" * 101 + "]" * 101}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_depth_is_a_message(tmp_path, text):
    path = tmp_path / "f"
    path.write_text(text)
    wanted = f"^{path}: expected JSON, found more than 100 lists and objects in one"
    with pytest.raises(ValueError, match=wanted):
        read_json(path)


def test_what_is_less_deep_is_read(tmp_path):
    text = '{"a": [' * 50 + "1" + "]}" * 50
    assert parse_json(text, "here") == json.loads(text)
    assert parse_json("[[], 2, {}] ", "here") == [[], 2, {}]


READERS = {
    "strategy.json": load_strategy,
    "config.json": lambda path: read_release_folder(path.parent),
    "hm3_jax.json": read_facts,
    "run.json": lambda path: RunRecord.read(path.parent),
    "extraction_plan.json": lambda path: Plan.from_json(path.read_bytes(), path),
    "points.json": lambda path: sweep_points.from_list(flags.FLAGS, str(path)),
    "store": lambda path: Manifest.from_json(path.read_text(), path),
    "index": lambda path: IndexManifest.from_json(path.read_text(), path),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 990 + "]" * 990, "{", ""])
def test_every_reader_names_the_file(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}: expected JSON, found ") as raised:
        READERS[name](tmp_path / name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"texts": [3]}'])
def test_a_plan_that_lacks_parts_names_the_file(tmp_path, text):
    wanted = f"^{tmp_path}: expected the plan of an extraction, found "
    with pytest.raises(ValueError, match=wanted):
        Plan.from_json(text.encode(), tmp_path)


@pytest.mark.parametrize("content", ["{}".encode("utf-16"), b'{"a": "\xff"}'])
def test_other_encodings_name_the_file(tmp_path, content):
    (tmp_path / "s.json").write_bytes(content)
    with pytest.raises(ValueError, match="s.json: expected JSON, found 'utf-8' codec"):
        load_strategy(tmp_path / "s.json")


def test_a_mark_at_the_beginning_is_no_part_of_it():
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', "here") == {"a": 1}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs po"),
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
    ],
)
def test_what_is_there_instead_is_named(tmp_path, content, what):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.json: expected JSON, found {what}"):
        read_json(tmp_path / "a.json")


def test_an_object_without_a_key_is_named(tmp_path):
    path = tmp_path / "f"
    path.write_text('{"b": 1}')
    assert read_object(path, ("b",)) == {"b": 1}
    with pytest.raises(ValueError, match=f"^{path}: expected a, b, c, found no a, c$"):
        read_object(path, ("a", "b", "c"))
    path.write_text("[]")
    with pytest.raises(ValueError, match=f"^{path}: expected a JSON object, found li"):
        read_object(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "a": 2}', "a key twice in one object .'a'"),
        ("[NaN]", "NaN, which is no JSON"),
        ('"\\ud800"', "surrogates not allowed"),
    ],
)
def test_what_is_beyond_the_standard(text, why):
    parse_json(text, "here")
    with pytest.raises(ValueError, match=f"^here: expected JSON, found .*{why}"):
        parse_json(text, "here", strict=True)


def test_values_come_back(tmp_path):
    value = {"ä": [1, None, 0.1], "b": {}}
    write_json(tmp_path / "f", value)
    assert read_json(tmp_path / "f") == value
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes().isascii()
    assert parse_json(json_text(value), "here") == value
    assert json_text({"ä": 1}) == '{\n "ä": 1\n}\n'
