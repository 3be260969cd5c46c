"""Milvus Lite against the built-in exact search."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.searching import searching
from hm3_jax.app.serving import open_collection
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.index import Index, open_index
from hm3_jax.retrieval.index_writer import remove_museums
from hm3_jax.retrieval.milvus import Milvus, MilvusSearch, publish
from hm3_jax.retrieval.museums import whole_query
from tests.retrieval.serving import served
from tests.retrieval.small_index import write_small_index

pytest.importorskip("pymilvus", reason="needs pymilvus, of the extra milvus")
pytest.importorskip("milvus_lite", reason="needs Milvus Lite, of the extra milvus")

# They are its own: clients and servers of Milvus Lite leave sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

THEMES = [None, [0], [1], None, [0, 1], []]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("milvus")
    write_small_index(path / "index", 200)
    publish(open_index(path / "index"), str(path / "lite.db"))
    return path


@pytest.fixture(scope="module")
def index(folder: Path) -> Index:
    return open_index(folder / "index")


@pytest.mark.parametrize("top_k", [1, 10, 200])
def test_finds_what_exact_search_finds(folder, index, top_k):
    rng = np.random.default_rng(0)
    queries = [whole_query(rng.standard_normal(index.manifest.size)) for _ in range(6)]
    wanted = exact_search(index.museums).search(queries, top_k, THEMES)
    with MilvusSearch(index, str(folder / "lite.db")) as milvus:
        found = milvus.search(queries, top_k, THEMES)
    for ours, theirs in zip(wanted, found, strict=True):
        assert theirs.rows.tolist() == ours.rows.tolist()
        assert theirs.scores.tobytes() == ours.scores.tobytes()


def test_a_server_answers_the_same_by_milvus(folder, index):
    encoder = QueryEncoder.of_index(index)
    asked = [
        ("/api/search", {"query": "A crimson harbour. Two angels.", "top_k": 7}),
        ("/api/search", {"query": "A golden crown.", "theme": "marine"}),
        ("/api/like/museum/8", {"theme": "portrait"}),
    ]
    answers = []
    for milvus in (None, Milvus(str(folder / "lite.db"))):
        with searching(index, milvus, exact_search) as search:
            collection = open_collection(index, encoder, search, None)
            with served(collection) as url, httpx.Client(base_url=url) as client:
                got = [client.get(path, params=params) for path, params in asked]
        assert [answer.status_code for answer in got] == [200] * 3
        answers.append([answer.json() for answer in got])
    assert answers[0] == answers[1]
    assert len(answers[0][0]["hits"]) == 7


def test_a_changed_index_is_copied_anew(folder, tmp_path):
    write_small_index(tmp_path / "index", 30)
    uri, first = str(tmp_path / "lite.db"), open_index(tmp_path / "index")
    name = publish(first, uri)
    told: list[tuple[int, int]] = []
    # What is there is not copied again.
    assert publish(first, uri, progress=lambda *n: told.append(n)) == name
    assert told == []
    remove_museums(tmp_path / "index", ["museum/3"])
    second = open_index(tmp_path / "index")
    with pytest.raises(ValueError, match="expected the 29 museums of .*, found 0"):
        MilvusSearch(second, uri).__enter__()
    publish(second, uri, progress=lambda *n: told.append(n))
    assert told == [(29, 29)]
    with pytest.raises(ValueError, match="expected the 30 museums of .*, found 0"):
        MilvusSearch(first, uri).__enter__()
    with MilvusSearch(second, uri) as milvus:
        (hits,) = milvus.search([second.museums.query_like(0)], 1)
    assert hits.rows.tolist() == [0]


def test_wrong_addresses_are_refused(folder, index, tmp_path):
    (tmp_path / "file.db").write_text("not Milvus")
    for uri, error, complaint in (
        ("museums", ValueError, "expected the URI of Milvus"),
        (
            str(tmp_path / "no.db"),
            FileNotFoundError,
            "expected Milvus Lite, found noth",
        ),
        (str(tmp_path / "file.db"), ConnectionError, "file.db: Milvus: "),
        ("http://127.0.0.1:1", ConnectionError, "127.0.0.1:1: Milvus: Fail connecting"),
    ):
        with pytest.raises(error, match=complaint):
            MilvusSearch(index, uri).__enter__()
    with pytest.raises(ValueError, match="collection's name of letters"):
        publish(index, str(folder / "lite.db"), collection="a-b; drop")
    assert not (tmp_path / "no.db").exists()
