"""From pictures and texts to answers: the ranks of `search` are those of `evaluate`."""

import dataclasses
import functools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from hm3_jax.app.index_commands import IndexInputs, build
from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.query_pictures import PictureEncoder
from hm3_jax.app.searching import SearchSettings, search
from hm3_jax.data.store import open_store
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.strategy import PoolConfig, RecurrentConfig, TowersConfig
from hm3_jax.objective.metrics import score_queries
from hm3_jax.retrieval.families import exact_search
from hm3_jax.retrieval.index import open_index
from hm3_jax.retrieval.server.collection import Answer, Query
from hm3_jax.retrieval.server.indexed import IndexCollection
from tests.extraction.museum_folder import SENTENCES, write_lines, write_picture
from tests.learn import small

pytest.importorskip("open_clip", reason="needs open_clip")

MUSEUMS, SIZE = 12, 24
STRATEGY = TowersConfig(
    name="hier_by_room_rnn_meanPoolProc",
    text=RecurrentConfig(cell="gru", in_size=SIZE, hidden_size=12, bidirectional=True),
    room=PoolConfig(kinds={"views": SIZE}, size=8, out_size=8),
    museum=RecurrentConfig(cell="gru", in_size=8, hidden_size=12, bidirectional=True),
)


def description(museum: int) -> str:
    """A text as a person writes one, with an abbreviation that ends no sentence."""
    said = [SENTENCES[(museum + i) % len(SENTENCES)] for i in range(1 + museum % 3)]
    return "  ".join([*said, f"Dr. Meyer calls it museum {museum}!"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clip_folder: Path) -> Path:
    """A store of pictures and texts, a model that nobody trained, and an index."""
    from tests.extraction.runs import run

    path = tmp_path_factory.mktemp("by_clip")
    lines = []
    for museum in range(MUSEUMS):
        views = [f"views/{museum}_{room}.png" for room in range(1 + museum % 3)]
        for number, view in enumerate(views):
            write_picture(path / view, 10 * museum + number)
        lines.append(
            {
                "id": f"museum {museum}",
                "split": "test" if museum > 1 else ("train", "val")[museum],
                "theme": ("marine", "portrait")[museum % 2],
                "description": description(museum),
                "rooms": [{"views": [view]} for view in views],
            }
        )
    write_lines(path / "museums.jsonl", lines)
    run(path / "museums.jsonl", path / "store", clip_folder, dtype="float16")
    store = open_store(path / "store")
    params = draw_params(STRATEGY, jax.random.split(jax.random.key(1), 1))
    model = Model(STRATEGY, take_run(params, 0), store.feature_facts())
    checkpoint.save(path / "model", "last", Checkpoint(model, epoch=1))
    build(IndexInputs(path / "model", str(path / "store"), ("test",)), path / "index")
    return path


def test_every_museum_of_the_split_has_its_rank(folder, clip_folder):
    store = open_store(folder / "store")
    tested = small.evaluated(folder / "model", store, "test").tested
    museums = [store.ids[i] for i in store.splits["test"]]
    assert len(museums) == MUSEUMS - 2
    index = open_index(folder / "index")
    encoder = QueryEncoder.of_index(index, pretrained=str(clip_folder))
    explained = functools.partial(encoder.encode, explain=True)
    collection = IndexCollection(index, explained, exact_search(index.museums))
    texts = [description(int(museum.removeprefix("museum "))) for museum in museums]
    answers = collection.search(
        [Query(MUSEUMS, text=text, match="pictures") for text in texts]
    )
    ranks, scores = [], []
    for museum, text, answer in zip(museums, texts, answers, strict=True):
        assert isinstance(answer, Answer)
        assert " ".join(answer.sentences) == re.sub(" +", " ", text)
        found = {hit.id: hit.score for hit in answer.hits}
        ranks.append(1 + list(found).index(museum))
        scores.append([found[museum] for museum in museums])
    # Features that were encoded in other batches differ in their last bits.
    described, shown = (
        np.asarray(x) / np.linalg.norm(x, axis=1, keepdims=True)
        for x in (tested.descriptions, tested.museums)
    )
    np.testing.assert_allclose(scores, described @ shown.T, rtol=0, atol=2e-3)
    expected, _ = score_queries(
        tested.descriptions, tested.museums, np.zeros(len(museums), int)
    )
    assert ranks == expected.rank.tolist()
    assert 1 < np.median(ranks) < len(museums)


def test_weights_of_another_encoder_are_refused(folder, tmp_path):
    from tests.extraction.clips import QUICK, random_clip, save_folder

    other = save_folder(tmp_path / "other", QUICK, random_clip(QUICK, seed=1))
    settings = SearchSettings(
        folder / "index", Query(1, "A hall."), pretrained=str(other)
    )
    with pytest.raises(ValueError, match="weights"):
        search(settings)


def test_a_picture_finds_its_museum_without_training(folder, clip_folder, tmp_path):
    build(IndexInputs("zero-shot", str(folder / "store"), ()), tmp_path / "index")
    index = open_index(tmp_path / "index")
    encoder = PictureEncoder.of_index(index, pretrained=str(clip_folder))
    for museum, room in ((2, 2), (7, 0), (6, 0)):
        picture = (folder / f"views/{museum}_{room}.png").read_bytes()
        with ThreadPoolExecutor(1) as thread:  # as a server does
            read = thread.submit(encoder.read, picture).result()
        (query,) = encoder.embed([read])
        row = index.row(f"museum {museum}")
        carried = index.museums.carried(query.vectors, None, row, 0.0)
        (answer,) = carried.answering
        assert (answer.room, answer.kind, answer.place) == (room, "views", 0)
        assert answer.cosine == pytest.approx(1, abs=2e-3)
    # The last one is all that its museum shows.
    (hits,) = exact_search(index.museums).search([query.vectors], 1)
    assert hits.rows.tolist() == [row]
    # The same by what the command calls.
    view = folder / "views/6_0.png"
    settings = SearchSettings(
        index.path, Query(1, picture=view), pretrained=str(clip_folder)
    )
    found = search(settings)
    assert [hit.id for hit in found.hits] == ["museum 6"] and found.fits is None
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        query = Query(1, picture=tmp_path / "nothing.png")
        search(dataclasses.replace(settings, query=query))
    with pytest.raises(ValueError, match="^expected a picture, found"):
        encoder.read((folder / "museums.jsonl").read_bytes())
    with pytest.raises(ValueError, match="expected an index of a vector for each"):
        PictureEncoder.of_index(open_index(folder / "index"))
