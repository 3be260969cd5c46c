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
    asked = []

    def features(text):
        asked.append(text)
        if text == "nothing":
            raise ValueError("it says nothing")
        return np.random.default_rng(len(text)).random((2, 64), np.float32)

    tower = encoder._tower
    assert isinstance(tower, InteractionTower)
    (query,) = tower([np.ones((2, 64), np.float32)])
    terms = TermEncoder(features, tower)
    sentences = ["one two, nothing", "two three"]
    first = terms.added(query, sentences)
    assert asked == ["one", "two", "nothing", "three"]
    again = terms.added(query, sentences[::-1])
    assert len(asked) == 4
    assert len(first.terms) == len(again.terms) == 2
