"""Files of queries: what is read, and what is refused by place."""

import json
from pathlib import Path

import pytest

from hm3_jax.retrieval.query_file import WrittenQuery, read_query_file


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_text_file_has_a_query_a_line(tmp_path):
    path = written(
        tmp_path / "q.txt", "\ufeff A dog. \r\n\n  \nEin Schiff\u2028am Kai."
    )
    assert read_query_file(path) == [
        WrittenQuery("1", "A dog.", f"{path}, line 1"),
        WrittenQuery("4", "Ein Schiff\u2028am Kai.", f"{path}, line 4"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("name", ["q.txt", "q.json", "q.jsonl", "Q.TXT", "q.JSON"])
def test_files_of_all_editors(tmp_path, name, encoding):
    content = "Un café “du port”."
    if name != "q.txt" and name != "Q.TXT":
        value = {"id": "1", "text": content}
        content = json.dumps([value] if "json" == name.lower()[2:] else value)
        content = content.encode().decode("unicode_escape")
    path = written(tmp_path / name, content.encode(encoding))
    (query,) = read_query_file(path)
    assert (query.id, query.text) == ("1", "Un café “du port”.")


def test_json_and_json_lines_say_the_same(tmp_path):
    queries = [
        {"id": "a", "text": "Ships.\nAnd a dog.", "relevant": ["m2", "m1", "m2"]},
        {"id": "b", "text": "Ships\u2028at sea.", "theme": "marine", "relevant": None},
    ]
    lines = "\n".join(json.dumps(query, ensure_ascii=False) for query in queries)
    for name, content in (("q.json", json.dumps(queries)), ("q.jsonl", lines)):
        first, second = read_query_file(written(tmp_path / name, content))
        assert (first.id, first.text) == ("a", "Ships.\nAnd a dog.")
        assert first.relevant == ("m2", "m1") and first.theme is None
        assert second.theme == "marine" and second.relevant == ()
        assert second.where.endswith(", query 2" if name == "q.json" else ", line 2")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("q.txt", "", "q.txt: expected queries, found none$"),
        ("q.txt", " \n\n", "q.txt: expected queries, found none$"),
        ("q.jsonl", "\n", "q.jsonl: expected queries, found none$"),
        ("q.json", "[]", "q.json: expected queries, found none$"),
        ("q.csv", "A dog.", "q.csv: expected a file named .txt, .json, .jsonl, found"),
        ("q", "A dog.", "q: expected a file named .txt, .json, .jsonl, found 'no end"),
        ("q.txt", b"\x81", "q.txt: expected text in UTF-8 or Windows-1252, found "),
        ("q.txt", "A\n" + "a" * 10_001, "line 2: expected a query of at most 10000"),
        ("q.txt", "A\n\x07", "line 2: expected .* the control character U.0007"),
        ("q.json", "{}", "q.json: expected a list of queries, found {}"),
        ("q.json", "[", "q.json: expected JSON, found "),
        ("q.json", "[" * 200_000, "q.json: expected JSON, found "),
        ("q.json", '["A"]', "query 1: expected an object with id and text, found"),
        ("q.jsonl", '{"id": "a"', "line 1: expected JSON, found "),
        ("q.jsonl", '{"text": "A"}', "line 1: expected id to be text, found nothing"),
        ("q.jsonl", '{"id": 1, "text": "A"}', "expected id to be text, found 1"),
        ("q.jsonl", '{"id": "a"}', "line 1: expected text to be text, found nothing"),
        ("q.jsonl", '{"id": "a", "text": " "}', "line 1: .* found an empty one"),
        (
            "q.jsonl",
            '{"id": "a", "text": "A", "them": 1}',
            "the fields .* found 'them'",
        ),
        ("q.jsonl", '{"id": "a", "text": "A", "theme": 1}', "name of one, found 1"),
        (
            "q.jsonl",
            '{"id": "a", "text": "A", "relevant": "m"}',
            "of museum ids, found",
        ),
        ("q.jsonl", '{"id": "a", "text": "A", "relevant": [1]}', "ids, found .1.$"),
        (
            "q.jsonl",
            '{"id": "a", "text": "A"}\n{"id": "a", "text": "B"}',
            "line 2: expected an id of its own, found 'a', which .*q.jsonl, line 1 has",
        ),
    ],
)
def test_a_wrong_file_is_refused_by_place(tmp_path, name, content, complaint):
    path = written(tmp_path / name, content)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_query_file(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    for path in (tmp_path / "q.txt", tmp_path):
        with pytest.raises(FileNotFoundError, match="expected a file of queries"):
            read_query_file(path)
