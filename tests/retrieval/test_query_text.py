"""Queries checked and cut into sentences."""

import numpy as np
import pytest

from hm3_jax.data.concepts import THEMES, ConceptSpace
from hm3_jax.data.synthetic_plan import SLOTS
from hm3_jax.data.synthetic_text import describe
from hm3_jax.retrieval.query_text import check_query, check_theme, cut_at_marks


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One", ["One"]),
        (" A  harbour.\nTwo ships! ", ["A harbour.", "Two ships!"]),
        ('"Stop." He left…  Why?', ['"Stop."', "He left…", "Why?"]),
        ("A 3.5 m wall, e.g.this. B", ["A 3.5 m wall, e.g.this.", "B"]),
        ("No mark\n \n\nnew paragraph", ["No mark", "new paragraph"]),
        ("港の美術館。静かな部屋！夜？", ["港の美術館。", "静かな部屋！", "夜？"]),
        (". ! \u200b", [".", "!"]),
        ("\u200b\n\n\u00ad", []),
    ],
)
def test_sentences_end_at_marks(text, sentences):
    assert cut_at_marks(text) == sentences


def test_a_message_names_some_of_many_themes():
    many = [f"theme {i}" for i in range(3000)]
    assert check_theme("theme 7", many) == "theme 7"
    with pytest.raises(ValueError) as error:
        check_theme("x" * 10_000, many)
    line = str(error.value)
    assert line.startswith("theme: expected one of theme 0, theme 1, ")
    assert "theme 19 and 2980 more, found 'xxx" in line
    assert len(line) < 400


def test_generated_descriptions_come_apart_as_they_were_made():
    rng = np.random.default_rng(0)
    concepts = ConceptSpace(0, 16).concepts
    rooms = [[str(rng.choice(concepts[group])) for group in SLOTS] for _ in range(5)]
    for theme in THEMES:
        made = describe(theme, rooms, [1, 2, 3, 4, 5], rng)
        assert cut_at_marks(" ".join(made)) == made
        assert cut_at_marks("\n".join(made)) == made


@pytest.mark.parametrize(
    "text", ["a", "Übermaß\tan\r\nLicht", "静か", "🎨", "x" * 9998]
)
def test_plain_text_passes(text):
    assert check_query(f" {text}\n") == text


@pytest.mark.parametrize(
    "character", ["\x00", "\x08", "\x1b", "\x7f", "\x85", "\ud800"], ids=ascii
)
def test_control_characters_are_refused(character):
    with pytest.raises(ValueError, match=f"U\\+{ord(character):04X} at place 3"):
        check_query(f"ab{character}c")
