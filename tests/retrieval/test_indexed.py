"""An index served as a collection, against plain products of its arrays."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.serving import ServeSettings, serve
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.index import Index, open_index
from hm3_jax.retrieval.museums import Museums, of_one_vector
from hm3_jax.retrieval.server.collection import Answer, Query
from hm3_jax.retrieval.server.indexed import IndexCollection
from tests.commands import fail
from tests.retrieval.small_index import THEMES, write_small_index

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
TEXT = "A crimson harbour. A king holds a lantern. Two angels."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "index"
    write_small_index(path)
    return path


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return open_index(folder)


@pytest.fixture(scope="module")
def encoder(index: Index) -> QueryEncoder:
    return QueryEncoder.of_index(index)


@pytest.fixture(scope="module")
def collection(index: Index, encoder: QueryEncoder) -> IndexCollection:
    return IndexCollection(
        index,
        lambda texts: encoder.encode(texts, explain=True),
        exact_search(index.museums),
        lambda museum: {"title": "From the list"} if museum == "museum/1" else {},
    )


def answered(answer: Answer | ValueError) -> Answer:
    assert isinstance(answer, Answer)
    return answer


def test_texts_are_ranked_and_explained(
    collection: IndexCollection, index: Index, encoder: QueryEncoder
) -> None:
    answer = answered(collection.search([Query(5, text=TEXT)])[0])
    museums = of_one_vector(index.museums, "index")
    sentences = ["A crimson harbour.", "A king holds a lantern.", "Two angels."]
    assert answer.sentences == sentences
    query = encoder([TEXT])[0].vector
    scores = museums.vectors @ query
    order = np.argsort(-scores)[:5]
    assert [hit.id for hit in answer.hits] == [museums.ids[row] for row in order]
    for hit, row in zip(answer.hits, order, strict=True):
        assert hit.score == pytest.approx(scores[row], abs=1e-5)
        assert hit.theme == THEMES[row % 2]
        without = [
            encoder([" ".join(s for j, s in enumerate(sentences) if j != i)])[0].vector
            for i in range(3)
        ]
        np.testing.assert_allclose(
            hit.sentences,
            [scores[row] - one @ museums.vectors[row] for one in without],
            atol=1e-5,
        )
        first = int(museums.room_offsets[row])
        assert len(hit.rooms) == row % 3 + 1
        np.testing.assert_allclose(
            hit.rooms,
            [
                scores[row] - museums.rooms[first + i].astype(np.float32) @ query
                for i in range(len(hit.rooms))
            ],
            atol=1e-5,
        )


def test_queries_of_all_kinds_together_are_those_alone(
    collection: IndexCollection,
) -> None:
    queries = [
        Query(3, text="A golden crown."),
        Query(2, like="museum/4"),
        Query(4, text="A golden crown.", theme="portrait"),
        Query(100, like="museum/0", theme="marine"),
        Query(1, text="123"),
        Query(1, text=TEXT),
    ]
    together = collection.search(queries)
    alone = [collection.search([query])[0] for query in queries]
    assert isinstance(together[4], ValueError) and "English words" in str(together[4])
    assert [i for i, a in enumerate(together) if isinstance(a, ValueError)] == [4]
    for one, other in zip(together, alone, strict=True):
        if isinstance(one, Answer):
            hits = answered(other).hits
            assert [hit.id for hit in one.hits] == [hit.id for hit in hits]
            for hit, same in zip(one.hits, hits, strict=True):
                assert hit.score == pytest.approx(same.score, abs=1e-5)
    assert [len(answered(together[i]).hits) for i in (0, 1, 2, 3)] == [3, 2, 4, 5]
    assert {hit.theme for hit in answered(together[2]).hits} == {"portrait"}
    assert "museum/0" not in {hit.id for hit in answered(together[3]).hits}


def test_one_sentence_carries_all(collection: IndexCollection) -> None:
    answer = answered(collection.search([Query(1, text="A golden crown.")])[0])
    assert answer.hits[0].sentences == [answer.hits[0].score]


def test_words_and_pictures_are_joined(
    collection: IndexCollection, index: Index, encoder: QueryEncoder
) -> None:
    text = "A harbour, sentence 7."
    scores = index.museums.columns["vectors"] @ encoder([text])[0].vector
    ranked = [index.museums.ids[row] for row in np.argsort(-scores)]
    by = {
        match: answered(collection.search([Query(5, text=text, match=match)])[0])
        for match in collection.matches
    }
    assert list(by) == ["both", "pictures", "words"]
    assert {match: answer.match for match, answer in by.items()} == {m: m for m in by}
    assert [hit.id for hit in by["pictures"].hits] == ranked[:5]
    (read,) = by["words"].hits
    assert (read.id, read.found_by) == ("museum/7", ("words",))
    assert read.passage == ("", "Sentence", " ", "7", ".")
    assert read.score == pytest.approx(scores[7], abs=1e-5)
    # Unasked, both. One ranking after the other, as the words' has a single museum.
    assert answered(collection.search([Query(5, text=text)])[0]) == by["both"]
    first, *others = by["both"].hits
    assert (first.id, "words" in first.found_by) == ("museum/7", True)
    assert ("pictures" in first.found_by) == ("museum/7" in ranked[:5])
    rest = [museum for museum in ranked if museum != "museum/7"]
    assert [hit.id for hit in others] == rest[:4]
    assert {hit.found_by for hit in others} == {("pictures",)}
    assert first.passage == read.passage and {hit.passage for hit in others} == {()}
    for theme, found in (("marine", []), ("portrait", ["museum/7"])):
        (answer,) = collection.search([Query(5, text=text, theme=theme, match="words")])
        assert [hit.id for hit in answered(answer).hits] == found


def test_pictures_are_what_finds_museums_if_that_is_asked_for(
    index: Index, encoder: QueryEncoder
) -> None:
    parts = (encoder.encode, exact_search(index.museums))
    collection = IndexCollection(index, *parts, match="pictures")
    assert answered(collection.search([Query(5, text=TEXT)])[0]).match == "pictures"
    without = dataclasses.replace(index, words=None)
    assert IndexCollection(without, *parts).matches == ["pictures"]
    with pytest.raises(ValueError, match="match: expected pictures, found 'words'"):
        IndexCollection(without, *parts, match="words")


def test_museums_and_map(collection: IndexCollection, index: Index) -> None:
    museum = collection.museum("museum/1")
    assert (museum.title, museum.theme) == ("From the list", "portrait")
    assert museum.description == ["Sentence 1."]
    assert museum.rooms[1].counts == {"views": 12, "images": 1, "videos": 0}
    assert (museum.x, museum.y) == tuple(index.map[1].tolist())
    assert "museum/1" in collection and "museum/99" not in collection
    assert [theme.museums for theme in collection.themes] == [6, 6]
    assert collection.map(20_000).titles[:3] == [
        "Museum 0",
        "From the list",
        "Museum 2",
    ]
    some = collection.map(3)
    assert some.ids == ["museum/0", "museum/5", "museum/11"]
    assert some.themes == [0, 1, 1]


def test_hits_begin_to_describe_their_museums(
    index: Index, encoder: QueryEncoder
) -> None:
    said = {
        "museum/0": ["One.", "Two " + "and more " * 20],
        "museum/1": ["A long one " * 20],
        "museum/2": [],
        "museum/3": ["A short one.", "A longer one. "],
    }
    collection = IndexCollection(
        index,
        encoder.encode,
        exact_search(index.museums),
        lambda museum: {"description": said.get(museum, ["One."])},
    )
    answer = answered(collection.search([Query(12, text="A golden crown.")])[0])
    excerpts = {hit.id: hit.excerpt for hit in answer.hits}
    assert excerpts["museum/0"] == "One."
    assert excerpts["museum/1"] == " ".join(["A long one"] * 14 + ["A\u2026"])
    assert excerpts["museum/2"] == ""
    assert excerpts["museum/3"] == "A short one. A longer one."
    # The longest of a museum that is short enough, each once.
    assert collection.examples == ["One.", "A longer one. "]


def test_what_is_known_of_a_hit_is_read_once(
    index: Index, encoder: QueryEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    detail = type(index.museums).detail

    def counted(museums: Museums, row: int) -> dict[str, Any]:
        read.append(row)
        return detail(museums, row)

    monkeypatch.setattr(type(index.museums), "detail", counted)
    collection = IndexCollection(index, encoder.encode, exact_search(index.museums))
    answer = answered(collection.search([Query(5, like="museum/0")])[0])
    assert read == [index.row(hit.id) for hit in answer.hits]


def test_a_batch_of_faults_only(collection: IndexCollection) -> None:
    faults = collection.search([Query(1, text="123"), Query(1, text="!")])
    assert [type(fault) for fault in faults] == [ValueError] * 2


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listed")
    (folder / "view.png").write_bytes(PNG)
    museum = {
        "id": "museum/2",
        "split": "test",
        "theme": "marine",
        "title": "Harbour House",
        "description": [["By the sea."], ["A storm."]],
        "rooms": [{"views": ["view.png"], "images": ["./view.png"]}],
    }
    (folder / "museums.jsonl").write_text(json.dumps(museum))
    return folder / "museums.jsonl"


@pytest.fixture(scope="module")
def server(
    repository: Path, folder: Path, listed: Path
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "hm3_jax.serve", f"--index={folder}", "--port=0"]
        + [f"--museums={listed}"],
        env=os.environ | {"PYTHONPATH": str(repository), "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate()[1])
    assert line.startswith("12 museums at http://127.0.0.1:")
    yield process, line.split()[-1]
    process.kill()
    process.communicate()


def test_the_command_serves(server: tuple[subprocess.Popen[str], str]) -> None:
    process, url = server
    with httpx.Client(base_url=url, timeout=60) as client:
        answer = client.get("/api/search", params={"query": TEXT, "top_k": 12}).json()
        assert len(answer["hits"]) == 12
        museum = client.get("/api/museums/museum%2F2").json()
        assert museum["title"] == "Harbour House"
        assert museum["description"] == ["By the sea.", "A storm."]
        pictures = museum["rooms"][0]["pictures"]
        assert [picture["kind"] for picture in pictures] == ["view", "painting"]
        assert client.get(pictures[1]["url"]).content == PNG
        alike = client.get("/api/like/museum%2F2").json()["hits"]
        assert len(alike) == 10
        wrong = client.get("/api/search", params={"query": "博物館"})
        assert (wrong.status_code, wrong.json()["error"][:6]) == (422, "query:")
        page = client.get("/")
        assert "text/html" in page.headers["content-type"]
        assert "javascript" in client.get("/main.js").headers["content-type"]
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")


# Interrupts the process when a module is looked for, or in the first collection of
# garbage after JAX's own callback is there.
_INTERRUPTER = """
import gc, os, signal, sys

moment = os.environ["INTERRUPTED_AT"]

def interrupt(*_):
    if "jax" in sys.modules:
        gc.callbacks.remove(interrupt)
        os.kill(os.getpid(), signal.SIGINT)

class Finder:
    def find_spec(name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)

if moment == "garbage collection":
    gc.callbacks.append(interrupt)
else:
    sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize(
    "moment",
    [
        "hm3_jax.serve",
        "hm3_jax.app.serving",
        "jax",
        "garbage collection",
        "hm3_jax.retrieval.server.app",
    ],
)
def test_an_interrupt_ends_a_server_that_starts(
    repository: Path, tmp_path: Path, folder: Path, moment: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_INTERRUPTER)
    places = f"{tmp_path}{os.pathsep}{repository}"
    done = subprocess.run(
        [sys.executable, "-m", "hm3_jax.serve", f"--index={folder}", "--port=0"],
        env=os.environ | {"PYTHONPATH": places, "INTERRUPTED_AT": moment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--index={empty}"], "found no manifest.json"),
        (["--index={damaged}"], "damaged"),
        (["--index={index}", "--museums={empty}/none.jsonl"], "none.jsonl"),
        (["--index={index}", "--museums={other}"], "expected museums of the index"),
        (["--index={index}", "--host=no.such.host.invalid"], "no.such.host.invalid"),
        (["--index={index}", "--port=99999"], "--port=99999"),
        (["--index={index}", "--input_root={empty}"], "--input_root"),
        (["--index={index}", "--pretrained=laion"], "pretrained weights 'laion'"),
        (["--port=0"], "missing --index"),
    ],
)
def test_what_cannot_be_served(
    run_module: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    folder: Path,
    arguments: list[str],
    complaint: str,
) -> None:
    damaged = tmp_path / "damaged"
    write_small_index(damaged)
    (file,) = damaged.glob("*/theme_index.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    other = tmp_path / "other.jsonl"
    rooms = [{"views": ["a.png"]}]
    other.write_text(
        json.dumps(
            {
                "id": "a",
                "split": "test",
                "theme": "b",
                "description": "c",
                "rooms": rooms,
            }
        )
    )
    places = {"index": folder, "empty": tmp_path, "damaged": damaged, "other": other}
    fail(
        run_module("hm3_jax.serve", *(a.format(**places) for a in arguments)), complaint
    )


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("allowed_hosts", ["a", "http://a"], "scheme and port, found 'http://a'"),
        ("root_path", "museums", "such as /museums, found 'museums'"),
        ("root_path", "/museums/", "such as /museums, found '/museums/'"),
        ("root_path", "/a?b", "such as /museums, found '/a\\?b'"),
        ("forwarded_allow_ips", ["a.b"], "networks or \\*, found 'a.b'"),
    ],
)
def test_what_is_wrong_about_a_proxy_is_said_before_the_work(
    tmp_path: Path, name: str, value: object, complaint: str
) -> None:
    settings = ServeSettings(tmp_path / "no index", "127.0.0.1", 0)
    with pytest.raises(ValueError, match=f"^--{name}: expected .*{complaint}"):
        serve(dataclasses.replace(settings, **{name: value}))
