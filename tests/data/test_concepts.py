import hashlib
import json
from dataclasses import asdict

import numpy as np
import pytest

from hm3_jax.data.concepts import (
    AGREEMENT,
    CONCEPTS,
    FILLER,
    GAP,
    NORM,
    THEMES,
    ConceptEncoder,
    ConceptSpace,
    direction,
)

SIZE = 256


@pytest.fixture(scope="module")
def space():
    return ConceptSpace(3, SIZE)


@pytest.fixture(scope="module")
def encoder(space):
    return ConceptEncoder(space)


def unit(vector):
    return vector / np.linalg.norm(vector)


def content(feature, space):
    """What is left of a feature without its offset, by solving for its length."""
    gap = space.gap("words").astype(np.float64)
    x = unit(feature.astype(np.float64))
    along = x @ gap
    # |t x - gap| = 1 for the t at which the feature was before it was made NORM long.
    t = along + np.sqrt(along**2 - gap @ gap + 1)
    return t * x - gap


def test_directions_are_unit_distinct_and_pinned():
    vectors = np.stack([direction(f"key-{i}", SIZE) for i in range(200)])
    gram = vectors @ vectors.T
    np.testing.assert_allclose(np.diag(gram), 1, rtol=1e-6)
    off = gram[~np.eye(200, dtype=bool)]
    # Cosines of random directions have the deviation 1 / sqrt(SIZE).
    assert abs(off.std() * np.sqrt(SIZE) - 1) < 0.05
    assert abs(off.mean()) < 0.002
    # By hand: 8 bytes a coordinate of SHAKE-256, as four little-endian numbers.
    bits = hashlib.shake_256(b"a").digest(16)
    pairs = [
        sum(
            int.from_bytes(bits[8 * i + k : 8 * i + k + 2], "little")
            for k in (0, 2, 4, 6)
        )
        - 131070
        for i in range(2)
    ]
    np.testing.assert_allclose(direction("a", 2), unit(np.array(pairs)), rtol=1e-6)


def test_a_sentence_is_the_sum_of_its_words_at_the_offset(space, encoder):
    (feature,) = encoder.encode(["A golden vase beside a golden lemon."])
    words = dict(zip(space.index, space.in_words(), strict=True))
    filler = sum(
        FILLER * space.direction(f"filler/{word}") for word in ("a", "a", "beside")
    )
    expected = unit(2 * words["golden"] + words["vase"] + words["lemon"] + filler)
    np.testing.assert_allclose(content(feature, space), expected, atol=1e-5)
    assert np.linalg.norm(feature) == pytest.approx(NORM, rel=1e-6)
    assert np.linalg.norm(space.gap("words")) == pytest.approx(GAP, rel=1e-6)


def test_case_order_punctuation_and_plurals_do_not_matter(encoder):
    variants = encoder.encode(
        [
            "saints, Candles & still-life",
            "STILL-LIFE: candle... saint",
            "candle 3 saints still-life",
        ]
    )
    np.testing.assert_allclose(variants[1], variants[0], atol=1e-5)
    np.testing.assert_allclose(variants[2], variants[0], atol=1e-5)
    one, other = encoder.encode(["an angel stands", "a angel stands"])
    np.testing.assert_array_equal(one, other)


def test_a_sentence_is_encoded_the_same_in_any_company(encoder):
    sentences = [f"{a} {b} and the {a}" for a in THEMES for b in CONCEPTS["object"]]
    together = encoder.encode(sentences)
    for i in (0, 7, len(sentences) - 1):
        np.testing.assert_array_equal(encoder.encode([sentences[i]])[0], together[i])
    assert together.dtype == np.float32


def test_unknown_words_move_a_sentence_a_little_and_not_the_same_way(encoder):
    plain, one, other = encoder.encode(
        ["baroque queen", "baroque queen zxcv", "baroque queen qwerty"]
    )
    for changed in (one, other):
        assert 0.98 < plain @ changed / NORM**2 < 0.9999
    assert not np.allclose(one, other)


def test_text_of_no_words_has_a_finite_feature(space, encoder):
    features = encoder.encode(["", "12 %"])
    expected = NORM * unit(space.gap("words"))
    np.testing.assert_allclose(features, [expected, expected], atol=1e-5)
    assert encoder.encode([]).shape == (0, SIZE)


def test_pictures_agree_with_words_in_part(space):
    cosines = (space.in_words() * space.in_pictures()).sum(axis=1)
    assert abs(cosines.mean() - AGREEMENT) < 0.02
    assert cosines.std() < 0.1
    assert abs(unit(space.gap("words")) @ unit(space.gap("pictures"))) < 0.3


def test_the_encoder_is_rebuilt_from_facts_alone(space, encoder):
    facts = json.loads(json.dumps(asdict(space.facts("words", "sum over words"))))
    rebuilt = ConceptEncoder.from_facts(facts)
    text = ["A tender prophet in the orchard", "unknowable"]
    np.testing.assert_array_equal(rebuilt.encode(text), encoder.encode(text))
    # Its own words, not this version's.
    facts["details"]["concepts"] = {"only": ["unknowable"]}
    other = ConceptEncoder.from_facts(facts).encode(["unknowable"])
    assert other[0] @ encoder.encode(["unknowable"])[0] < 0.9 * NORM**2


def test_facts_of_other_models_and_spaces_are_refused(space):
    facts = asdict(space.facts("words", "sum over words"))
    with pytest.raises(ValueError, match="model 'concepts', found 'ViT-B-32'"):
        ConceptEncoder.from_facts({**facts, "model": "ViT-B-32"})
    with pytest.raises(ValueError, match=f"with gap {GAP}, found 0.1"):
        ConceptEncoder.from_facts(
            {**facts, "details": {**facts["details"], "gap": 0.1}}
        )
    pictures = asdict(space.facts("pictures", "sum"))
    with pytest.raises(ValueError, match="facts of sentences"):
        ConceptEncoder.from_facts(pictures)


def test_spaces_of_other_seeds_have_nothing_in_common(space):
    other = ConceptSpace(4, SIZE).in_words()
    assert abs((other * space.in_words()).sum(axis=1)).max() < 0.35


def test_every_word_is_in_one_group_and_is_no_plural_of_another():
    words = [word for group in CONCEPTS.values() for word in group]
    assert len(words) == len(set(words))
    assert not {f"{word}s" for word in words} & set(words)
    with pytest.raises(ValueError, match="each concept word in one group"):
        ConceptSpace(0, 8, {"a": ["x"], "b": ["x"]})
    with pytest.raises(ValueError, match="at least 2, found 1"):
        ConceptSpace(0, 1)
