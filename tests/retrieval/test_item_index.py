"""Making, changing and opening an index of museums of many vectors."""

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from hm3_jax.files.arrays import ChangedFileError
from hm3_jax.objective.late_interaction import scores_of
from hm3_jax.retrieval import index_writer
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.index import open_index, verify_index
from hm3_jax.retrieval.index_format import MANY_VECTORS, IndexFacts
from hm3_jax.retrieval.index_writer import append_museums, create_index, remove_museums
from hm3_jax.retrieval.item_museums import ItemMuseums
from hm3_jax.retrieval.loaded import load_index
from hm3_jax.retrieval.museums import KnownMuseums
from hm3_jax.retrieval.projection import project
from hm3_jax.retrieval.server.indexed import IndexCollection
from tests.retrieval import test_index as of_one_vector
from tests.retrieval.serving import served
from tests.retrieval.small_items import (
    SHARPNESS,
    THEME_WEIGHT,
    some_museums,
    some_queries,
)

FACTS = IndexFacts(
    {"sharpness": SHARPNESS, "theme_weight": THEME_WEIGHT}, {"name": "words"}, {}
)
FILES = {"tower.bin": bytes(range(200))}


def as_dictionary(museums: KnownMuseums) -> dict[str, tuple]:
    """What is known about each museum, by its id."""
    columns = {
        column: museums.columns[column.name]
        for column in MANY_VECTORS.columns
        if column.name not in ("map", "theme_index") and column.bounds is None
    }
    offsets = {
        column.name: museums.columns[column.name]
        for column in MANY_VECTORS.columns
        if column.bounds is not None
    }
    return {
        name: (
            museums.themes[museums.theme_index[row]],
            *(
                values[row].tobytes()
                if column.offsets is None
                else values[slice(*offsets[column.offsets][row : row + 2])].tobytes()
                for column, values in columns.items()
            ),
        )
        for row, name in enumerate(museums.ids)
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    create_index(tmp_path / "index", some_museums(20), FACTS, FILES)
    return tmp_path / "index"


def test_what_is_put_in_comes_out_and_is_searched(path):
    index, wanted = open_index(path), some_museums(20)
    verify_index(index)
    assert isinstance(index.museums, ItemMuseums)
    assert as_dictionary(index.museums) == as_dictionary(wanted)
    assert (index.files, index.manifest.facts) == (FILES, FACTS)
    assert (index.manifest.format_version, index.manifest.size) == (2, 24)
    for museums in (index.museums, load_index(index).museums):
        for query in some_queries(3):
            (hits,) = exact_search(museums).search([query], 20)
            scores = scores_of(query, wanted.embedded, SHARPNESS, THEME_WEIGHT)
            np.testing.assert_allclose(hits.scores, np.sort(scores)[::-1], atol=1e-14)
    offsets, items = wanted.embedded.offsets, wanted.embedded.items.astype(np.float64)
    means = [
        items[first:last].mean(axis=0)
        for first, last in zip(offsets[:-1], offsets[1:], strict=True)
    ]
    np.testing.assert_allclose(index.museums.overview(), means, atol=1e-6)
    places = project(np.array(means, np.float32), wanted.theme_index)
    np.testing.assert_allclose(index.map, places, atol=1e-5)


def test_museums_come_and_go(path):
    added = some_museums(6, seed=1)
    append_museums(path, added, FACTS)
    both = as_dictionary(some_museums(20)) | as_dictionary(added)
    assert as_dictionary(open_index(path).museums) == both
    gone = ["museum 3", "museum 10", "museum 1005"]
    remove_museums(path, gone)
    index = open_index(path)
    verify_index(index)
    for name in gone:
        del both[name]
    assert as_dictionary(index.museums) == both
    assert list(index.museums.ids) == list(both)


@pytest.mark.parametrize("items_first", [True, False])
def test_museums_of_the_other_family_are_refused(tmp_path, items_first):
    families = [
        (some_museums(6), "a vector for each item of a museum"),
        (of_one_vector.some_museums(0, 6), "one vector for each museum"),
    ]
    (there, has), (added, makes) = families if items_first else families[::-1]
    create_index(tmp_path / "index", there, FACTS, FILES)
    complaint = f"the index has {has}, found a model that makes {makes}"
    with pytest.raises(ValueError, match=complaint):
        append_museums(tmp_path / "index", added, FACTS)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda v: v.items.__setitem__((3, 0), 5), "found 5.* item of museum 'museum"),
        (lambda v: v.items.__setitem__((3, 0), np.nan), "found nan for an item"),
        (lambda v: v.bias.__setitem__(4, np.inf), "finite bias, .* museum 'museum 4'"),
        (lambda v: v.vectors.__setitem__((2, 1), np.nan), "finite vectors, .* 'museum"),
        (lambda v: v.offsets.__setitem__(2, v.offsets[1]), "expected items, found no"),
    ],
)
def test_wrong_museums_are_refused(tmp_path, damage, complaint):
    museums = some_museums(6)
    damage(museums.embedded)
    with pytest.raises(ValueError, match=complaint):
        index_writer.create_index(tmp_path / "index", museums, FACTS, FILES)
    assert list(tmp_path.iterdir()) == []


def cut_short(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(200)


def zeroed(file: Path) -> None:
    """The same number of bytes, in the same file."""
    with file.open("r+b") as opened:
        opened.seek(128)
        opened.write(bytes(file.stat().st_size - 128))


@pytest.mark.parametrize("change", [cut_short, zeroed])
def test_a_file_that_is_changed_while_it_is_served_is_named(
    path: Path, change: Callable[[Path], None]
) -> None:
    file = path / "generation-1" / "items.npy"
    # Clocks of file systems are coarse: what follows at once may have the same time.
    os.utime(file, ns=(10**18, 10**18))
    index = load_index(open_index(path))
    held = IndexCollection(index, lambda texts: [], exact_search(index.museums))
    with served(held) as url, httpx.Client(base_url=url, timeout=30) as client:
        like = f"/api/like/{index.museums.ids[0]}"
        assert client.get(like).status_code == 200
        change(file)
        answer = client.get(like)
        assert answer.status_code == 503
        assert answer.json() == {
            "error": "a file of the index was changed in its place; the server's log "
            "says which"
        }
    with pytest.raises(ChangedFileError, match=f"{file}: damaged: written to while"):
        index.museums.query_like(0)
