"""Words of a query: which they are, how much they count, how often they are encoded."""

import numpy as np
import pytest

from hm3_jax.app.models import load_checkpoint
from hm3_jax.app.query_encoder import QueryEncoder
from hm3_jax.app.query_terms import MOST_SENTENCES, TermEncoder
from hm3_jax.data.store import open_store
from hm3_jax.data.synthetic import synthesize
from hm3_jax.data.synthetic_plan import SyntheticConfig
from hm3_jax.learn.evaluation.text_tower import InteractionTower


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("terms") / "store"
    synthesize(path, SyntheticConfig(museums=20, feature_size=64, seed=2))
    store = open_store(path)
    return QueryEncoder.of_store(load_checkpoint("zero-shot", store), store)


def test_words_count_by_the_square_of_their_cosine(encoder):
    text = "A Golden angel, a golden angel with harps"
    (query,) = encoder([text])
    (terms,) = query.terms
    (sentence,) = query.sentences
    wanted = {}
    for word in ("a", "golden", "angel", "with", "harps"):
        try:
            ((vector,),) = [encoded.sentences for encoded in encoder([word])]
        except ValueError:
            continue  # It says nothing by itself.
        if (cosine := float(vector @ sentence)) > 0:
            wanted[word] = cosine**2, vector
    shares = np.array([square for square, _ in wanted.values()])
    np.testing.assert_allclose(terms.weights, shares / shares.sum(), rtol=1e-5)
    vectors = [vector for _, vector in wanted.values()]
    np.testing.assert_allclose(terms.vectors, vectors, atol=1e-6)
    # Gold and the angel are what the sentence is about.
    assert terms.weights[[*wanted].index("golden")] > 0.2
    assert terms.weights[[*wanted].index("angel")] > 0.2


def test_one_word_and_whole_descriptions_have_no_terms(encoder):
    (single,) = encoder(["angel"])
    assert [len(terms.weights) for terms in single.terms] == [0]
    short, long = encoder(
        [" ".join(["A blue angel."] * count) for count in (MOST_SENTENCES, 5)]
    )
    assert [len(terms.weights) > 1 for terms in short.terms] == [True] * MOST_SENTENCES
    assert long.terms == ()


def test_a_word_is_encoded_once(encoder):
    counting = Counting(encoder)
    sentences = ["one two, nothing", "two three"]
    first = counting.added(sentences)
    assert counting.calls == [["one", "two", "nothing", "three"]]
    again = counting.added(sentences[::-1])
    assert len(counting.calls) == 1
    assert len(first.terms) == len(again.terms) == 2


class Counting:
    """A `TermEncoder` that tells which words were encoded, call by call."""

    def __init__(self, encoder: QueryEncoder):
        assert isinstance(encoder._tower, InteractionTower)
        self.tower, self.calls = encoder._tower, []
        self.terms = TermEncoder(self.features, self.tower, "float16")

    def features(self, words):
        self.calls.append(list(words))
        rng = np.random.default_rng(0)
        return [None if w == "nothing" else rng.random(64, np.float32) for w in words]

    def added(self, sentences):
        (query,) = self.tower([np.ones((len(sentences), 64), np.float32)])
        return self.terms.added(query, sentences)


def test_hostile_queries_make_no_more_work_than_long_ones(encoder):
    counting = Counting(encoder)
    for sentence in (
        " ".join(f"w{i}" for i in range(3000)),
        "x" * 10_000,
        f"{'y' * 10_000} {'z' * 9_999}",
        "🏛🎨 🖼 👩‍🎨",
        "-'-'" * 2500,
        "é" * 5000,
    ):
        counting.added([sentence] * MOST_SENTENCES)
    # One call for the words of a query, and no word that nobody would write.
    assert len(counting.calls) == 1
    assert len(counting.calls[0]) == 24


def test_words_are_not_remembered_for_ever(encoder, monkeypatch):
    monkeypatch.setattr("hm3_jax.app.query_terms._REMEMBERED", 30)
    counting = Counting(encoder)
    for first in range(0, 1000, 10):
        query = counting.added([" ".join(f"w{i}" for i in range(first, first + 10))])
        assert len(query.terms) == 1
        assert len(counting.terms._known) <= 30
