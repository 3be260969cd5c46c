"""Tokens against open_clip's own."""

import pickle

import numpy as np
import pytest

from hm3_jax.extraction.texts import TextPiece, TextSplit
from hm3_jax.extraction.tokens import ClipTokenizer

open_clip = pytest.importorskip("open_clip", reason="needs open_clip's tokenizers")

START, END = 49406, 49407
TEXTS = [
    "A painting.",
    "",
    "  UPPER case &amp; entities\n ",
    "日本の絵画、とても大きい。",
    "Картина маслом — 1888 год",
    "naïve façade 😀 ’quoted’",
    "wow!",
    "an <end_of_text> inside",
    "word " * 2000,
]


@pytest.fixture(scope="module")
def tokenize():
    return ClipTokenizer(open_clip.get_tokenizer("ViT-B-32"))


@pytest.mark.parametrize("length", [77, 16])
def test_equal_open_clip(length):
    theirs = open_clip.get_tokenizer("ViT-B-32", context_length=length)
    ours = ClipTokenizer(theirs)
    assert ours.own and ours.context_length == length
    found = ours(TEXTS)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, theirs(TEXTS).numpy())
    assert ours([]).shape == (0, length)


def test_says_by_how_much_texts_are_too_long(tokenize):
    pieces = [TextPiece("word " * count) for count in (74, 75, 76, 2000)]
    tokens, cut = tokenize.pieces(pieces)
    np.testing.assert_array_equal(cut, [0, 0, 1, 1925])
    np.testing.assert_array_equal(tokens, tokenize([piece.text for piece in pieces]))
    assert tokens[3, 0] == START and tokens[3, 76] == END


def test_windows_are_used_as_they_are(tokenize):
    text = "Many words about one very large painting. " * 40
    pieces = TextSplit("max_len", 10).pieces(text, tokenize)
    tokens, cut = tokenize.pieces(pieces)
    assert not cut.any()
    everything = tokenize.encode(text)
    assert len(pieces) == 1 + -(-(len(everything) - 75) // 65)
    for number, row in enumerate(tokens):
        window = everything[number * 65 : number * 65 + 75]
        padded = [START, *window, END] + [0] * (75 - len(window))
        np.testing.assert_array_equal(row, padded)


def test_windows_are_spelt_out(tokenize):
    (piece,) = TextSplit("max_len").pieces("A Painting,  日本", tokenize)
    assert piece.text == "a painting , 日本"


def test_can_be_pickled(tokenize):
    again = pickle.loads(pickle.dumps(tokenize))
    np.testing.assert_array_equal(again(TEXTS), tokenize(TEXTS))


class Foreign:
    """A tokenizer such as those of Hugging Face."""

    context_length = 4

    def __call__(self, texts):
        import torch

        return torch.tensor([[9, len(text), 8, 1] for text in texts])


def test_other_tokenizers_take_whole_texts_only():
    ours = ClipTokenizer(Foreign())
    tokens, cut = ours.pieces([TextPiece("ab"), TextPiece("abc")])
    np.testing.assert_array_equal(tokens, [[9, 2, 8, 1], [9, 3, 8, 1]])
    np.testing.assert_array_equal(cut, [0, 0])
    with pytest.raises(ValueError, match="CLIP's own tokenizer.*found one with Forei"):
        TextSplit("max_len").pieces("ab", ours)


def test_tokenizers_that_drop_words_by_chance_are_foreign():
    chance = open_clip.SimpleTokenizer(reduction_mask="simple")
    assert not ClipTokenizer(chance).own


def test_long_runs_are_several_words(tokenize):
    for sign in ("x", "\N{CLASSICAL BUILDING}", "!"):
        run = sign * 200
        assert tokenize.encode(run + sign) == [
            *tokenize.encode(run),
            *tokenize.encode(sign),
        ]
        whole = open_clip.get_tokenizer("ViT-B-32").encode(run)
        assert tokenize.encode(run) == whole


def test_words_are_not_remembered_for_ever(tokenize, monkeypatch):
    monkeypatch.setattr("hm3_jax.extraction.tokens._REMEMBERED", 50)
    inner = open_clip.get_tokenizer("ViT-B-32")
    ours = ClipTokenizer(inner)
    texts = [f"{sign}harbour<end_of_text>" for sign in "abcdefghijklmnopqrstuvw"] * 5
    found = [ours.encode(f"{text} zq{number}") for number, text in enumerate(texts)]
    assert len(inner.cache) <= 50
    other = open_clip.get_tokenizer("ViT-B-32")
    wanted = [other.encode(f"{text} zq{number}") for number, text in enumerate(texts)]
    assert found == wanted
