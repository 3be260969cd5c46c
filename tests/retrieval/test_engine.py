"""Qdrant, embedded and behind its HTTP API, against the built-in searches."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from hm3_jax.app.open_index import opened_index
from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.serving import open_collection
from hm3_jax.objective.late_interaction import MuseumVectors, QueryVectors, scores_of
from hm3_jax.retrieval.engine.connection import Engine, connected
from hm3_jax.retrieval.engine.many_vectors import EngineItemSearch
from hm3_jax.retrieval.engine.museums import PublishedMuseums
from hm3_jax.retrieval.engine.opening import opened
from hm3_jax.retrieval.engine.publish import collection_name, publish
from hm3_jax.retrieval.exact import ExactSearch, Search
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.index import Index, open_head, open_index
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.index_writer import create_index, remove_museums, write_head
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.item_search import ItemSearch
from hm3_jax.retrieval.museums import Museums, whole_query
from tests.retrieval.serving import served
from tests.retrieval.small_index import write_small_index
from tests.retrieval.small_items import (
    SHARPNESS,
    THEME_WEIGHT,
    some_museums,
    some_queries,
    with_terms,
)

pytest.importorskip("qdrant_client", reason="needs qdrant-client, of the extra qdrant")
from tests.retrieval.qdrant_server import StandIn, qdrant_server  # noqa: E402

THEMES = [None, [0], [1], None, [0, 1], []]
WEIGHTS = [None, 0.0, 5.0, 1.0, 40.0, -2.0]
ITEM_MUSEUMS = 150


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with qdrant_server() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    path = tmp_path_factory.mktemp("one") / "index"
    write_small_index(path, 60)
    return open_index(path)


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return item_index(tmp_path_factory.mktemp("many") / "index", ITEM_MUSEUMS)


def item_index(path: Path, museums: int, **sizes: int) -> Index:
    model = {"sharpness": SHARPNESS, "theme_weight": THEME_WEIGHT}
    create_index(path, some_museums(museums, **sizes), IndexFacts(model, {}, {}), {})
    return open_index(path)


def embedded(index: Index) -> MuseumVectors:
    assert isinstance(index.museums, ItemMuseums)
    return index.museums.embedded


@pytest.fixture(params=["embedded", "server"])
def engine(request: pytest.FixtureRequest, server: StandIn, tmp_path: Path) -> Engine:
    if request.param == "server":
        name = f"c{abs(hash(str(tmp_path)))}"
        return Engine(server.uri, collection=name)
    return Engine(str(tmp_path / "qdrant"))


def assert_same(found: Search, wanted: Search, queries, *, most: int) -> None:
    for top_k in (1, 10, most):
        ours = found.search(queries, top_k, THEMES, WEIGHTS)
        theirs = wanted.search(queries, top_k, THEMES, WEIGHTS)
        for of_engine, built_in in zip(ours, theirs, strict=True):
            assert of_engine.rows.tolist() == built_in.rows.tolist()
            assert of_engine.scores.tobytes() == built_in.scores.tobytes()
            assert of_engine.exact


def test_museums_of_one_vector_are_found_as_by_exact_search(index, engine):
    publish(index, engine)
    rng = np.random.default_rng(0)
    queries = [whole_query(rng.standard_normal(index.manifest.size)) for _ in THEMES]
    queries[3] = index.museums.query_like(7)
    with opened(open_head(index.path), engine) as published:
        assert_same(published.search, ExactSearch(index.museums), queries, most=60)


def test_equal_museums_of_one_vector_come_in_order(tmp_path, server):
    write_small_index(tmp_path / "first", 30)
    museums = open_index(tmp_path / "first").museums
    assert isinstance(museums, Museums)
    # More of them than the first round asks for.
    vectors = np.repeat(museums.vectors[:1], 30, axis=0)
    create_index(
        tmp_path / "index",
        dataclasses.replace(museums, vectors=vectors),
        IndexFacts({}, {}, {}),
        {},
    )
    index, engine = open_index(tmp_path / "index"), Engine(server.uri)
    publish(index, engine)
    with opened(index, engine) as published:
        (hits,) = published.search.search([museums.query_like(0)], 3)
    assert hits.rows.tolist() == [0, 1, 2]


def test_museums_of_many_vectors_are_found_as_by_the_built_in_search(items, server):
    engine = Engine(server.uri, candidates=ITEM_MUSEUMS)
    queries = some_queries(len(THEMES))
    # The last museum is the second again.
    queries[0] = items.museums.query_like(1)
    publish(items, engine)
    with opened(open_head(items.path), engine) as published:
        wanted = ItemSearch(items.museums)
        assert_same(published.search, wanted, queries, most=ITEM_MUSEUMS)
        hits = published.search.search(queries[:1], 2)[0]
    assert hits.rows.tolist() == [1, ITEM_MUSEUMS - 1]
    assert hits.scores[0] == hits.scores[1]
    scores = scores_of(queries[0], embedded(items), SHARPNESS, THEME_WEIGHT)
    assert hits.scores[0] == pytest.approx(scores.max(), abs=1e-14)


def test_terms_are_looked_for_as_by_the_built_in_search(items, engine):
    engine = dataclasses.replace(engine, candidates=ITEM_MUSEUMS)
    queries = [with_terms(query, i) for i, query in enumerate(some_queries(5))]
    queries.append(items.museums.query_like(7))  # without
    publish(items, engine)
    with opened(open_head(items.path), engine) as published:
        wanted = exact_search(items.museums)
        assert_same(published.search, wanted, queries, most=ITEM_MUSEUMS)
    plain = ItemSearch(items.museums).search(queries, 10, THEMES, WEIGHTS)
    found = wanted.search(queries, 10, THEMES, WEIGHTS)
    assert plain[0].rows.tolist() != found[0].rows.tolist()


def test_what_is_usual_is_asked_for_once(items, server):
    engine = Engine(server.uri, candidates=ITEM_MUSEUMS)
    publish(items, engine)
    asked = [with_terms(query, 0) for query in some_queries(3)]
    with opened(items, engine) as published:
        published.search.search(asked[:1], 5)
        server.calls.clear()
        published.search.search(asked[1:2], 5)
        # Museums that are compared, 64 at a time, and the candidates' items once more.
        calls = [call for call in server.calls if call.endswith("/points")]
        assert len(calls) <= -(-ITEM_MUSEUMS // 64) + 1


@pytest.mark.parametrize(("whole", "log_themes"), [(0, 0), (3, 0), (0, 4)])
def test_models_may_have_neither_whole_vectors_nor_themes(
    tmp_path, server, whole, log_themes
):
    sizes = {"whole": whole, "log_themes": log_themes}
    index = item_index(tmp_path / "index", 40, **sizes)
    publish(index, Engine(server.uri))
    with opened(index, Engine(server.uri)) as published:
        found = published.search.search(some_queries(3, **sizes), 5)
    for query, hits in zip(some_queries(3, **sizes), found, strict=True):
        scores = scores_of(query, embedded(index), SHARPNESS, THEME_WEIGHT)
        order = np.lexsort((np.arange(40), -scores))[:5]
        assert hits.rows.tolist() == order.tolist()
        np.testing.assert_allclose(hits.scores, scores[order], rtol=0, atol=1e-14)


def test_what_cannot_be_settled_is_said_to_be_approximate(items, server):
    engine, queries = Engine(server.uri), some_queries(12, seed=5)
    publish(items, engine)
    with connected(engine) as client:
        museums = PublishedMuseums(items, engine, client)
        found = EngineItemSearch(museums, most=70).search(queries, 5)
    wanted = ItemSearch(items.museums).search(queries, 5)
    settled = [hits.exact for hits in found]
    # Whoever says that it is exact is.
    assert not all(settled)
    for ours, theirs in zip(found, wanted, strict=True):
        assert len(ours.rows) == 5
        assert not ours.exact or ours.rows.tolist() == theirs.rows.tolist()


def test_few_museums_are_compared_where_one_stands_out(items, server):
    engine = Engine(server.uri)
    publish(items, engine)
    clear = items.museums.query_like(4)
    clear = QueryVectors(clear.sentences, clear.weights, clear.vector, clear.themes)
    server.calls.clear()
    with opened(items, engine) as published:
        (hits,) = published.search.search([clear], 1, None, [0.0])
    assert hits.exact and hits.rows.tolist() == [4]
    assert len([call for call in server.calls if call.endswith("/points")]) == 1


def test_all_that_is_known_of_museums_comes_back(index, items, engine):
    for one in (index, items):
        rows = [5, 0, 17]
        publish(one, engine)
        with opened(one, engine) as published:
            museums = published.museums
            assert (len(museums), museums.themes) == (len(one), one.themes)
            assert museums.museums_by_theme == one.museums_by_theme
            known = one.museums.ids[17]
            assert museums.rows([known, "nobody"]) == {known: 17}
            for theirs, ours in zip(museums.some(rows), one.some(rows), strict=True):
                assert (theirs.row, theirs.id) == (ours.row, ours.id)
                assert (theirs.theme, theirs.detail) == (ours.theme, ours.detail)
                assert (theirs.x, theirs.y) == (ours.x, ours.y)
                query = ours.query_like()
                assert theirs.carried(query, None, 0.5) == ours.carried(
                    query, None, 0.5
                )
            (title,) = museums.titles([2])
            assert title.detail == {"title": one.museums.detail(2)["title"]}
            assert museums.some([]) == []


def test_a_server_answers_the_same_by_an_engine(index, engine, tmp_path):
    publish(index, engine)
    write_head(tmp_path / "client", open_head(index.path))
    encoder = QueryEncoder.of_index(index)
    said = "A crimson sentence. Two angels of 17 and 23, and 4."
    asked = [
        ("/api/search", {"query": said, "top_k": 7}),
        ("/api/search", {"query": said, "match": "pictures"}),
        ("/api/search", {"query": said, "match": "words"}),
        ("/api/search", {"query": said, "match": "words", "theme": "portrait"}),
        ("/api/search", {"query": said, "theme": "portrait"}),
        ("/api/like/museum/8", {"theme": "portrait"}),
        ("/api/museums/museum/8", {}),
        ("/api/map", {}),
        ("/api/collection", {}),
    ]
    answers = []
    for path, where in ((index.path, None), (tmp_path / "client", engine)):
        with opened_index(path, where, exact_search, in_memory=True) as found:
            collection = open_collection(found.museums, encoder, found.search, None)
            with served(collection) as url, httpx.Client(base_url=url) as client:
                got = [client.get(path, params=params) for path, params in asked]
                missing = client.get("/api/museums/nobody")
        assert [answer.status_code for answer in got] == [200] * len(asked)
        assert missing.status_code == 404
        answers.append([answer.json() for answer in got])
    assert answers[0] == answers[1]
    assert answers[0][-1]["matches"] == ["both", "pictures", "words"]
    assert len(answers[0][0]["hits"]) == 7
    by_words = [[hit["id"] for hit in answer["hits"]] for answer in answers[0][2:4]]
    assert sorted(by_words[0]) == ["museum/17", "museum/23", "museum/4"]
    assert sorted(by_words[1]) == ["museum/17", "museum/23"]


def test_a_server_says_that_an_engine_has_gone(index):
    with qdrant_server() as stand_in:
        engine = Engine(stand_in.uri)
        publish(index, engine)
        with opened_index(index.path, engine, exact_search) as found:
            encoder = QueryEncoder.of_index(index)
            collection = open_collection(found.museums, encoder, found.search, None)
            with served(collection) as url, httpx.Client(base_url=url) as client:
                stand_in.refused = "points"
                for path in ("/api/museums/museum/8", "/api/like/museum/8", "/api/map"):
                    answer = client.get(path)
                    assert answer.status_code == 503
                    assert answer.json()["error"].startswith(
                        "the search engine of this"
                    )
                stand_in.refused = None
                assert client.get("/api/museums/museum/8").status_code == 200


def test_copying_goes_on_and_drops_what_is_older(tmp_path):
    write_small_index(tmp_path / "index", 30)
    first = open_index(tmp_path / "index")
    told: list[tuple[int, int]] = []
    with qdrant_server() as stand_in:
        engine, other = Engine(stand_in.uri), Engine(stand_in.uri, collection="others")
        name = publish(first, engine)
        publish(first, other)
        stand_in.client.delete(name, [4, 11])  # as if it had been interrupted
        with pytest.raises(ValueError, match="expected the 30 museums of .*, found 28"):
            opened(first, engine).__enter__()
        assert publish(first, engine, lambda *n: told.append(n)) == name
        assert publish(first, engine, lambda *n: told.append(n)) == name
        assert told == [(30, 30)]
        remove_museums(tmp_path / "index", ["museum/3"])
        second = open_index(tmp_path / "index")
        with pytest.raises(ValueError, match="expected the 29 museums of .*, found 0"):
            opened(second, engine).__enter__()
        stand_in.refused = "PUT .*/points"
        with pytest.raises(ConnectionError, match="507 .*: No space left on device"):
            publish(second, engine)
        stand_in.refused = None
        with opened(first, engine) as published:  # until the new one is whole
            assert len(published.museums) == 30
        publish(second, engine, lambda *n: told.append(n))
        assert told[1:] == [(29, 29)]
        with pytest.raises(ValueError, match="expected the 30 museums of .*, found 0"):
            opened(first, engine).__enter__()
        held = {one.name for one in stand_in.client.get_collections().collections}
        assert held == {
            collection_name(second.manifest, engine),
            collection_name(first.manifest, other),
        }


def test_requests_stay_below_what_a_server_takes(items, server, monkeypatch):
    monkeypatch.setattr("hm3_jax.retrieval.engine.publish._NUMBERS", 2**15)
    server.largest = 0
    publish(items, Engine(server.uri, collection="small"))
    # A number has up to 22 characters; one museum alone has 55,000 numbers.
    assert server.largest < 22 * (2**15 + 55_000)


def test_another_layout_or_version_is_refused(index, server, monkeypatch):
    engine = Engine(server.uri, collection="layouts")
    with monkeypatch.context() as older:
        older.setattr("hm3_jax.retrieval.engine.publish.LAYOUT", 0)
        name = publish(index, engine)
    with pytest.raises(ValueError, match=f"{name} in layout 1, found 0: build_index"):
        opened(index, engine).__enter__()
    publish(index, engine)
    with opened(index, engine):
        pass
    monkeypatch.setattr(server, "version", "1.9.3")
    with pytest.raises(ValueError, match="expected Qdrant 1.16 or newer, found 1.9.3"):
        opened(index, engine).__enter__()


def test_a_key_is_asked_for(index, server, monkeypatch):
    monkeypatch.setattr(server, "token", "secret")
    with pytest.raises(ConnectionError, match="401 Unauthorized: --token is its API k"):
        publish(index, Engine(server.uri))
    publish(index, Engine(server.uri, token="secret", collection="keys"))


def test_wrong_addresses_are_refused_in_one_line(index, tmp_path):
    (tmp_path / "file").write_text("not Qdrant")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "text").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "meta.json").write_text("{")
    for uri, error, complaint in (
        ("ftp://museums", ValueError, "expected the URI of Qdrant, http://HOST:6333"),
        (str(tmp_path / "no"), FileNotFoundError, "embedded mode, found none"),
        (str(tmp_path / "file"), ValueError, "embedded mode, found no meta.json there"),
        (str(tmp_path / "folder"), ValueError, "embedded mode, found no meta.json"),
        (str(tmp_path / "broken"), ValueError, "that Qdrant's embedded mode can read"),
        ("http://127.0.0.1:1", ConnectionError, "127.0.0.1:1: Qdrant cannot be reache"),
    ):
        with pytest.raises(error, match=complaint) as raised:
            opened(index, Engine(uri)).__enter__()
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "no").exists()
    with pytest.raises(ValueError, match="embedded mode, found no meta.json"):
        publish(index, Engine(str(tmp_path / "folder")))
    with pytest.raises(ValueError, match="collection's name of letters"):
        Engine("http://127.0.0.1:1", collection="a-b; drop")


# Qdrant's client leaves the file open that says so.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_folder_is_for_one_process_at_a_time(index, tmp_path):
    engine = Engine(str(tmp_path / "qdrant"))
    publish(index, engine)
    with opened(index, engine):
        with pytest.raises(ConnectionError, match="another process has this folder op"):
            opened(index, engine).__enter__()


def test_a_folder_is_whole_or_as_before(index, items, tmp_path):
    engine = Engine(str(tmp_path / "qdrant"))
    publish(index, engine)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def stopped(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(items, engine, stopped)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    publish(items, engine)
    with opened(items, engine):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["qdrant"]


@pytest.mark.parametrize("name", ["meta.json", "storage.sqlite", "files.json"])
def test_damage_to_a_folder_is_noticed(index, tmp_path, name):
    engine = Engine(str(tmp_path / "qdrant"))
    publish(index, engine)
    (file,) = (tmp_path / "qdrant").rglob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    for use in (
        lambda: opened(index, engine).__enter__(),
        lambda: publish(index, engine),
    ):
        with pytest.raises(ValueError, match=f"{file}: damaged: .* makes it again"):
            use()
    (tmp_path / "qdrant" / "files.json").unlink()
    if name == "files.json":
        with opened(index, engine):
            pass


def test_a_head_has_no_museums_and_replaces_itself_only(index, tmp_path):
    head = open_head(index.path)
    write_head(tmp_path / "client", head)
    write_head(tmp_path / "client", head)
    again = open_head(tmp_path / "client")
    assert (again.manifest, again.files) == (head.manifest, head.files)
    assert again.words is not None
    assert again.words.find("17", 9).rows == [17]
    with pytest.raises(FileNotFoundError, match="found only what is needed to search"):
        open_index(tmp_path / "client")
    with pytest.raises(FileExistsError, match="or one made by --client, found another"):
        write_head(index.path, head)
    words = tmp_path / "client" / head.manifest.generation / "words.sqlite"
    for damage, error, complaint in (
        (lambda: flip(words), ValueError, "damaged: expected SHA-256"),
        (lambda: words.write_bytes(b"short"), ValueError, "bytes, found 5"),
        (words.unlink, FileNotFoundError, "expected a file of"),
    ):
        damage()
        with pytest.raises(error, match=complaint) as raised:
            open_head(tmp_path / "client")
        assert str(words) in str(raised.value) and "\n" not in str(raised.value)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
