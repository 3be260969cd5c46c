"""Texts that are typed in get the features that a store would have of them."""

import numpy as np
import pytest

from hm3_jax.extraction.clip_choice import ClipChoice
from hm3_jax.extraction.clip_model import load_clip
from hm3_jax.extraction.facts import feature_facts
from hm3_jax.extraction.query_features import describer_for
from hm3_jax.extraction.texts import TextSplit
from tests.extraction.test_text_encoder import as_stored

pytest.importorskip("open_clip", reason="needs open_clip")

TEXT = "Dr. Meyer painted a river. Boats lie at the quay!  A quiet room." * 6


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_clip(ClipChoice(None, str(clip_folder)), device="cpu")


@pytest.mark.parametrize(
    "split",
    [TextSplit(), TextSplit("max_len", 2)],
    ids=lambda split: split.strategy,
)
def test_cut_and_encoded_as_descriptions_are(clip, clip_folder, split):
    details = {"text_split_strategy": split.strategy, "text_stride": split.stride}
    facts = as_stored(feature_facts(clip.facts(), "sentences", details=details))
    describe = describer_for(facts, pretrained=str(clip_folder), device="cpu")
    sentences, features, notes = describe(TEXT)
    assert notes == []
    pieces = split.pieces(TEXT, clip.tokenize)
    assert sentences == [piece.text for piece in pieces]
    assert len(pieces) > 1
    for piece, row in zip(pieces, features, strict=True):
        (wanted,) = clip.encode_tokens(clip.tokenize.pieces([piece])[0])
        np.testing.assert_allclose(row, wanted, rtol=0, atol=1e-5)


NOTHING = "may have no effect: the encoder knows none of its words."


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("the", f"“the” {NOTHING}"),
        ("A harbour. Xyzzy!", f"“Xyzzy!” {NOTHING}"),
        ("A harbour of the xyzzy.", None),
        (
            "harbour " * 80,
            f"“{'harbour ' * 5}…” was cut: the encoder reads 77 tokens, 5 more were "
            "left out.",
        ),
    ],
)
def test_what_the_encoder_does_not_read_is_said(clip, clip_folder, text, note):
    facts = as_stored(feature_facts(clip.facts(), "sentences"))
    describe = describer_for(facts, pretrained=str(clip_folder), device="cpu")
    _, _, notes = describe(text)
    assert notes == ([] if note is None else [note])


def test_words_are_encoded_together_to_the_same_bits(clip, clip_folder, monkeypatch):
    facts = as_stored(feature_facts(clip.facts(), "sentences"))
    describe = describer_for(facts, pretrained=str(clip_folder), device="cpu")
    words = ["harbour", "a", "xyzzy", "\u200b", *(f"q{i}" for i in range(20)), "angel"]
    features = describe.words(words)
    assert [word for word, row in zip(words, features, strict=True) if row is None] == [
        "\u200b"
    ]
    for word, row in zip(words, features, strict=True):
        if row is not None:
            (wanted,) = describe(word)[1]
            np.testing.assert_allclose(row, wanted, rtol=0, atol=1e-5)
            (alone,) = describe.words([word])
            assert alone is not None
            np.testing.assert_array_equal(alone, row)
    # Few calls of the model, whose time hardly depends on how many words it gets.
    calls = []
    encode = describe._clip.encode_tokens
    monkeypatch.setattr(
        describe._clip, "encode_tokens", lambda rows: calls.append(rows) or encode(rows)
    )
    describe.words([f"w{i}" for i in range(96)])
    lengths = {rows.shape for rows in calls}
    assert lengths == {(8, clip.context_length)}
    assert len(calls) <= 96 // 8 + 4
    assert describe.words([]) == []
