"""Queries by concept: what they name, who shows it, and how precision is counted."""

import contextlib
import re
import types

import jax
import numpy as np
import pytest

from benchmarks import concepts
from benchmarks.concept_queries import (
    FIRST,
    ConceptQuery,
    concept_queries,
    precision_of_first,
)
from benchmarks.concepts import matched, measured
from hm3_jax.app.models import load_checkpoint
from hm3_jax.data.concepts import CONCEPTS
from hm3_jax.data.store import open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.strategy import PoolConfig, RecurrentConfig, TowersConfig
from tests.data.museum_sets import write

TOWERS = TowersConfig(
    name="rnn_meanPoolProc",
    text=RecurrentConfig(cell="gru", in_size=16, hidden_size=8, bidirectional=True),
    room=None,
    museum=PoolConfig(kinds={"views": 16}, size=8, out_size=8),
)

GROUP_OF = {word: group for group, words in CONCEPTS.items() for word in words}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("concepts") / "store"
    synthesize(path, SyntheticConfig(museums=300, feature_size=16, seed=2))
    return open_store(path)


@pytest.fixture(scope="module")
def queries(store):
    return concept_queries(store, np.asarray(store.splits["test"]), least=FIRST)


def concepts_in(text):
    """Concepts that a text names, in its order."""
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())
    return [word for word in words if word in GROUP_OF]


def test_a_query_is_a_sentence_that_names_its_concepts_and_no_other(queries):
    assert len({query.text for query in queries}) == len(queries)
    for query in queries:
        assert sorted(concepts_in(query.text)) == sorted(query.words)
        assert query.kind == "+".join(GROUP_OF[word] for word in query.words)
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|[.!?]", query.text)
    kinds = {query.kind for query in queries}
    # Of a few museums, not ten show the same theme or style.
    assert {*CONCEPTS} - {"theme", "style"} <= kinds
    assert "colour+subject" in kinds


def test_enough_museums_show_what_is_asked_for(store, queries):
    assert all(query.relevant.sum() >= FIRST for query in queries)
    assert {len(query.relevant) for query in queries} == {len(store.splits["test"])}


def test_museums_whose_descriptions_name_it_show_it(store, queries):
    """Descriptions do not say all, but what they say of a room hangs there."""
    for place, museum in enumerate(store.splits["test"].tolist()):
        first, last = store.sentences.offsets[museum : museum + 2]
        by_room: dict[int, set[str]] = {}
        for text, room in zip(
            store.sentence_texts(museum), store.sentence_rooms[first:last], strict=True
        ):
            by_room.setdefault(int(room), set()).update(concepts_in(text))
        # What is said of all rooms is so in each of them.
        everywhere = by_room.pop(-1)
        for query in queries:
            said = any(
                set(query.words) <= room | everywhere for room in by_room.values()
            )
            assert query.relevant[place] or not said, (query.text, museum)


def test_most_museums_that_show_it_are_described_by_it(store, queries):
    """So relevance is no accident: it is named far more often where it is shown."""
    single = [query for query in queries if query.kind == "subject"]
    named = np.array(
        [
            [
                query.words[0] in concepts_in(" ".join(store.sentence_texts(museum)))
                for museum in store.splits["test"].tolist()
            ]
            for query in single
        ]
    )
    relevant = np.array([query.relevant for query in single])
    assert named[relevant].mean() > 0.7
    assert not named[~relevant].any()


def test_precision_is_what_a_plain_loop_counts():
    rng = np.random.default_rng(0)
    museums = 30
    queries = [
        ConceptQuery(str(i), kind, (), rng.random(museums) < 0.4)
        for i, kind in enumerate(("mood", "mood", "colour", "colour+subject"))
    ]
    # Few levels, so that there are ties.
    scores = [rng.integers(4, size=museums).astype(float) for _ in queries]
    precisions = []
    for query, of_query in zip(queries, scores, strict=True):
        order = sorted(range(museums), key=lambda i: (-of_query[i], i))
        precisions.append(sum(query.relevant[i] for i in order[:10]) / 10)
    found = precision_of_first(
        queries, lambda text: np.argsort(-scores[int(text)], kind="stable")[:10]
    )
    groups = {
        "mood": [0, 1],
        "colour": [2],
        "colour+subject": [3],
        "single": [0, 1, 2],
        "pairs": [3],
        "all": [0, 1, 2, 3],
    }
    assert found.keys() == groups.keys()
    for kind, members in groups.items():
        assert found[kind]["queries"] == len(members)
        wanted = sum(precisions[i] for i in members) / len(members)
        assert found[kind]["precision"] == pytest.approx(wanted)
        chance = sum(queries[i].relevant.sum() for i in members) / museums
        assert found[kind]["chance"] == pytest.approx(chance / len(members))


def test_models_answer_by_their_own_vectors(store):
    """What search without training finds is far above chance, and above no model."""
    found = measured(load_checkpoint("zero-shot", store), store, "test")
    rooms = found.pop("room_R@1")
    assert 0 < rooms["chance"] < rooms["recall"] < 1
    params = draw_params(TOWERS, jax.random.key(0)[None])
    towers = Checkpoint(Model(TOWERS, take_run(params, 0), store.feature_facts()), 0)
    drawn = measured(towers, store, "test")
    assert drawn.keys() == found.keys()
    assert drawn["all"]["chance"] == found["all"]["chance"]
    # Nobody trained it.
    assert drawn["all"]["precision"] < found["all"]["precision"]
    assert found["all"]["precision"] > 1.2 * found["all"]["chance"]


def test_museums_that_were_not_generated_say_nothing(tmp_path):
    write(tmp_path / "store")
    store = open_store(tmp_path / "store")
    with pytest.raises(ValueError, match="expected generated museums .*found 'small'"):
        concept_queries(store, np.arange(3), least=1)


def test_an_index_is_asked_each_way(store, monkeypatch):
    asked = concept_queries(store, np.arange(len(store.ids)), least=FIRST)
    relevant = {query.text: query.relevant for query in asked}

    class Index:
        def search(self, query):
            shown = np.flatnonzero(relevant[query.text])
            others = np.flatnonzero(~relevant[query.text])
            of_each = {"both": 10, "pictures": 5, "words": 0}[query.match]
            rows = [*shown[:of_each], *others[: query.top_k - of_each]]
            hits = [types.SimpleNamespace(id=store.ids[row]) for row in rows]
            return types.SimpleNamespace(hits=hits)

    monkeypatch.setattr(
        concepts, "open_index", lambda folder: contextlib.nullcontext(Index())
    )
    found = matched("any", store)
    assert {way: found[way]["all"]["precision"] for way in found} == {
        "both": 1,
        "pictures": 0.5,
        "words": 0,
    }
    assert found["both"]["all"]["queries"] == len(asked)
