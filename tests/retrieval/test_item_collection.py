"""Museums of many vectors as a collection that the server can serve."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hm3_jax.app.query_encoder import EmbeddedQuery as Embedded
from hm3_jax.files.input_kinds import ROOM_KINDS
from hm3_jax.objective.late_interaction import scores_of
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.fit import Fit
from hm3_jax.retrieval.index import Index, open_index
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.index_writer import create_index
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.museums import pack_details
from hm3_jax.retrieval.server.collection import Answer, Query
from hm3_jax.retrieval.server.indexed import IndexCollection
from tests.retrieval.small_items import (
    SHARPNESS,
    THEME_WEIGHT,
    some_museums,
    some_queries,
)

QUERIES = some_queries(6)
MODEL = {"sharpness": SHARPNESS, "theme_weight": THEME_WEIGHT}


class Numbered:
    """Texts that begin with q and the number of a query, pictures that are one."""

    def read(self, content: bytes) -> int:
        return int(content)

    def embed(self, pictures: Sequence[Any]) -> list[Embedded]:
        return [Embedded((), QUERIES[number]) for number in pictures]

    def encode(self, texts: Sequence[str]) -> list[Embedded]:
        queries = [QUERIES[int(text.split()[0][1:])] for text in texts]
        return [
            Embedded(tuple(f"sentence {i}" for i in range(len(q.sentences))), q)
            for q in queries
        ]


def written(path: Path, fit: Fit | None) -> Index:
    museums = some_museums(30)
    details, offsets = pack_details(
        [
            {"title": f"Museum {i}", "description": [f"Word{i}.", "Nothing else."]}
            for i in range(30)
        ]
    )
    museums = dataclasses.replace(museums, details=details, details_offsets=offsets)
    origin = {} if fit is None else {"fit": fit.to_json()}
    create_index(path, museums, IndexFacts(MODEL, {}, origin), {})
    return open_index(path)


def collection_of(index: Index) -> IndexCollection:
    numbered = Numbered()
    search = exact_search(index.museums)
    return IndexCollection(index, numbered.encode, search, pictures=numbered)


def answered(collection: IndexCollection, query: Query) -> Answer:
    (answer,) = collection.search([query])
    assert isinstance(answer, Answer)
    return answer


def test_every_sentence_is_answered_by_its_best_item(tmp_path: Path) -> None:
    index = written(tmp_path / "index", None)
    collection, museums = collection_of(index), some_museums(30)
    assert isinstance(museums, ItemMuseums)
    for number, query in enumerate(QUERIES):
        for weight in (None, 0.0, 4.0):
            asked = Query(5, f"q{number}", match="pictures", theme_weight=weight)
            answer = answered(collection, asked)
            used = THEME_WEIGHT if weight is None else weight
            scores = scores_of(query, museums.embedded, SHARPNESS, used)
            order = np.argsort(-scores, kind="stable")[:5]
            assert [hit.id for hit in answer.hits] == [museums.ids[i] for i in order]
            assert len(answer.sentences) == len(query.sentences)
            assert answer.fits is None
        vectors = museums.embedded
        for row, hit in zip(order, answer.hits, strict=True):
            first, last = vectors.offsets[row : row + 2]
            for sentence, found in zip(query.sentences, hit.answers, strict=True):
                products = vectors.items[first:last].astype(np.float64) @ sentence
                best = first + int(products.argmax())
                assert found.cosine == pytest.approx(products.max(), abs=1e-6)
                assert (found.room, found.kind, found.place) == (
                    vectors.rooms[best],
                    ROOM_KINDS[vectors.kinds[best]],
                    vectors.places[best],
                )
                assert found.fits is None


def test_words_join_them(tmp_path: Path) -> None:
    collection = collection_of(written(tmp_path / "index", None))
    assert collection.matches == ["both", "pictures", "words"]
    assert collection.theme_weight == THEME_WEIGHT
    scores = scores_of(QUERIES[1], some_museums(30).embedded, SHARPNESS, 2.0)
    asked = Query(3, "q1 word17", match="words", theme_weight=2.0)
    (hit,) = answered(collection, asked).hits
    assert (hit.id, hit.found_by, hit.passage) == (
        "museum 17",
        ("words",),
        ("", "Word17", "."),
    )
    assert hit.score == pytest.approx(scores[17], abs=1e-9)
    assert len(hit.answers) == len(QUERIES[1].sentences)
    both = answered(collection, dataclasses.replace(asked, match=None))
    assert {hit.id for hit in both.hits} > {"museum 17"}


def test_what_fits_is_said(tmp_path: Path) -> None:
    number = min(range(6), key=lambda i: len(QUERIES[i].sentences))
    text = f"q{number} nowhere"
    found = answered(collection_of(written(tmp_path / "unknown", None)), Query(4, text))
    weights = QUERIES[number].weights
    best = max(
        float(weights @ [answer.cosine for answer in hit.answers]) for hit in found.hits
    )
    cosines = sorted(answer.cosine for hit in found.hits for answer in hit.answers)
    middle = cosines[len(cosines) // 2]
    for difference, fits in ((-0.01, True), (0.01, False)):
        fit = Fit(middle, (1,), (best + difference,))
        collection = collection_of(written(tmp_path / str(fits), fit))
        answer = answered(collection, Query(4, text))
        assert answer.fits is fits
        for hit in answer.hits:
            for item in hit.answers:
                assert item.fits is (item.cosine >= middle)
        # Words may tell otherwise, if half of them do.
        assert answered(collection, Query(4, f"{text} word3")).fits is fits
        assert answered(collection, Query(4, f"q{number} word3")).fits is True
        # Pictures and museums are not judged.
        assert answered(collection, Query(4, like="museum 3")).fits is None
        picture = answered(collection, Query(4, picture=number))
        assert picture.fits is picture.hits[0].answers[0].fits is None


def test_a_picture_is_a_query(tmp_path: Path) -> None:
    index = written(tmp_path / "index", None)
    collection = collection_of(index)
    assert collection.picture_queries and collection.read_picture(b"3") == 3
    by_text = answered(collection, Query(5, "q3", match="pictures"))
    by_picture, by_museum = collection.search(
        [Query(5, picture=3), Query(5, like="museum 4")]
    )
    assert isinstance(by_picture, Answer) and isinstance(by_museum, Answer)
    assert by_picture.hits == by_text.hits
    assert (by_picture.sentences, by_picture.match) == ([], "pictures")
    assert "museum 4" not in {hit.id for hit in by_museum.hits}
    without = IndexCollection(index, Numbered().encode, exact_search(index.museums))
    assert not without.picture_queries
    with pytest.raises(ValueError, match="the index's encoder takes no pictures"):
        without.read_picture(b"3")
