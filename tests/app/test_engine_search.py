"""Search by Qdrant, from query to answer, against the index's own files."""

import dataclasses
from pathlib import Path

import pytest

from hm3_jax.app.index_commands import (
    IndexInputs,
    build,
    copy_to_engine,
    remove,
    write_client,
)
from hm3_jax.app.open_index import SearchIndex, open_index
from hm3_jax.data.store import open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.retrieval.engine.connection import Engine
from hm3_jax.retrieval.server.collection import Answer, Query
from tests.entries.test_entry_items import save_trained

pytest.importorskip("qdrant_client", reason="needs qdrant-client, of the extra qdrant")

CONFIG = SyntheticConfig(museums=90, feature_size=32, sentences=8, rooms=3)
TEXTS = (
    "a golden angel",
    "A crimson vase lies beside a mirror. An angel stands before a harbour.",
    "a king",
    " ".join(["A serene harbour with a poet."] * 5),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engine")
    synthesize(path / "store", CONFIG)
    save_trained(path / "trained", open_store(path / "store"))
    return path


def asked(index: SearchIndex) -> list[Answer]:
    texts = [
        Query(5, text, match=match)
        for text in TEXTS
        for match in ("pictures", "words", "both")
    ]
    queries = [
        *texts,
        *(dataclasses.replace(query, theme=index.themes[-1]) for query in texts[:6]),
        Query(40, TEXTS[0]),
    ]
    return [index.search(query) for query in queries]


@pytest.mark.thorough
def test_answers_are_those_of_the_index_after_every_change(folder, tmp_path):
    engine = Engine(str(tmp_path / "qdrant"), candidates=60)
    path, client = tmp_path / "index", tmp_path / "client"

    def embedded(split: str, *, append: bool) -> None:
        inputs = IndexInputs(folder / "trained", str(folder / "store"), (split,))
        build(inputs, path, append=append)

    def removed() -> None:
        with open_index(path) as index:
            ids = [hit.id for hit in index.search(TEXTS[0]).hits[:2]]
        remove(path, tuple(ids))

    for change in (
        lambda: embedded("val", append=False),
        lambda: embedded("test", append=True),
        removed,
    ):
        change()
        if client.exists():
            with pytest.raises(ValueError, match="museums of .*client in collec"):
                copy_to_engine(path, engine)
                open_index(client, engine)
        else:
            copy_to_engine(path, engine)
        write_client(path, client)
        with open_index(path) as index, open_index(client, engine) as published:
            wanted, found = asked(index), asked(published)
        assert found == wanted
        assert all(answer.exact for answer in found)
    by = [answer.match for answer in found[:3]]
    assert by == ["pictures", "words", "both"]
    assert all(answer.hits for answer in found[:3])
