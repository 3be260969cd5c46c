"""Cutting descriptions into sentences and windows."""

import pytest

from hm3_jax.extraction.texts import (
    TextPiece,
    TextSplit,
    count_empty,
    is_empty,
    split_sentences,
)

pytest.importorskip("sentencex", reason="needs a finder of sentences")


class Letters:
    """A tokenizer that anyone can follow: a token a letter, 5 in a window."""

    context_length = 7

    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, tokens):
        return "".join(map(chr, tokens))

    def frame(self, tokens):
        return (0, *tokens, 1)


def windows(description, stride):
    pieces = TextSplit("max_len", stride).pieces(description, Letters())
    for piece in pieces:
        assert piece.tokens == (0, *map(ord, piece.text), 1)
    return [piece.text for piece in pieces]


@pytest.mark.parametrize(
    ("stride", "found"),
    [
        (None, ["abcde", "fghij", "kl"]),
        (0, ["abcde", "fghij", "kl"]),
        (2, ["abcde", "defgh", "ghijk", "jkl"]),
        (4, ["abcde", "bcdef", "cdefg", "defgh", "efghi", "fghij", "ghijk", "hijkl"]),
    ],
)
def test_windows_overlap_by_the_stride(stride, found):
    assert windows("abcdefghijkl", stride) == found


@pytest.mark.parametrize(("text", "count"), [("a", 1), ("abcde", 1), ("abcdef", 2)])
def test_the_last_window_ends_the_text(text, count):
    assert len(windows(text, 2)) == count


def test_windows_go_over_rooms_and_sentences():
    whole = windows("ab cd ef", 1)
    assert windows([["ab", " "], ["cd"], [], ["ef"]], 1) == whole
    assert windows(("ab", "cd", "ef"), 1) == whole


@pytest.mark.parametrize("nothing", ["", " \n", [], [[], [" "]]])
def test_nothing_has_no_piece(nothing):
    assert windows(nothing, 2) == []
    assert TextSplit().pieces(nothing) == []


def test_sentences_that_are_given_are_kept_as_they_are():
    description = [["One. Two.", ""], [], ["  three ", "\u200b"]]
    pieces = TextSplit().pieces(description)
    assert pieces == [TextPiece("One. Two."), TextPiece("  three ")]
    assert count_empty(description) == 2
    assert TextSplit().pieces(["One. Two."]) == pieces[:1]


@pytest.mark.parametrize(
    ("description", "count"),
    [("", 1), ("a", 0), ([], 0), (["", "a", "\t"], 2), ([[""], ["", "a"]], 2)],
)
def test_empty_sentences_are_counted(description, count):
    assert count_empty(description) == count


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u00a0", "\u200b\ufeff", "\u200e"])
def test_what_shows_nothing_is_empty(text):
    assert is_empty(text)


@pytest.mark.parametrize("text", ["a", ".", " 画 ", "\U0001f600", "é", "\u0301"])
def test_what_shows_is_not_empty(text):
    assert not is_empty(text)


def test_one_text_is_cut_into_sentences():
    text = "Dr. Smith saw it. It was 3.5 m wide! Who made it?"
    pieces = TextSplit().pieces(text)
    assert [piece.text for piece in pieces] == [
        "Dr. Smith saw it.",
        "It was 3.5 m wide!",
        "Who made it?",
    ]
    assert all(piece.tokens is None for piece in pieces)


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("en", "One line\nof two. And\r\nmore.", ["One line of two.", "And more."]),
        ("en", "A title\n \nIts text. ", ["A title", "Its text."]),
        ("en", "No end", ["No end"]),
        ("zh", "这是一幅画。它很大！", ["这是一幅画。", "它很大！"]),
        ("ja", "これは絵です。大きいです。", ["これは絵です。", "大きいです。"]),
        ("ar", "هذه لوحة. هل هي كبيرة؟ نعم.", ["هذه لوحة.", "هل هي كبيرة؟", "نعم."]),
        ("el", "Ένας πίνακας. Είναι μεγάλος;", ["Ένας πίνακας.", "Είναι μεγάλος;"]),
        (
            "it",
            "Il sig. Rossi venne. Poi partì.",
            ["Il sig. Rossi venne.", "Poi partì."],
        ),
        ("xx", "Unknown. Language.", ["Unknown.", "Language."]),
    ],
)
def test_sentences_of_many_languages(language, text, sentences):
    assert split_sentences(text, language) == sentences
    pieces = TextSplit(language=language).pieces(text)
    assert [piece.text for piece in pieces] == sentences


def test_a_long_text_is_cut_quickly():
    text = "A painting hangs here. " * 5000
    assert split_sentences(text) == ["A painting hangs here."] * 5000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "by_word"}, "expected a text split strategy of .*'by_word'"),
        ({"stride": 3}, "stride 3 is for the strategy max_len, found sentence_by"),
        ({"strategy": "max_len", "stride": -1}, "0 or more tokens, found -1"),
    ],
)
def test_settings_that_contradict_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TextSplit(**options)


def test_windows_that_would_not_advance_are_refused():
    with pytest.raises(ValueError, match="below 5, the tokens of a window, found 5"):
        windows("abc", 5)
    with pytest.raises(ValueError, match="max_len needs a tokenizer"):
        TextSplit("max_len").pieces("abc")
