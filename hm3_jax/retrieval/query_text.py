"""What people type to search: checked, and cut into sentences."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence

MOST_CHARACTERS = 10_000
MOST_SENTENCES = 128
MOST_HITS = 1000
MOST_THEME_WEIGHT = 100.0
"""Limits of a query; descriptions of museums stay far below."""

# Of what a message names.
_THEMES_SHOWN = 20
_SHOWN = 60
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")
# A sentence ends with its mark and what closes a quotation; in writing without blanks
# the mark alone ends it.
_END = re.compile("[.!?\u2026][\"'\u2019\u201d)\\]]*(?=\\s)|[\u3002\uff01\uff1f]")


def check_query(text: str) -> str:
    """Checks a query.

    Args:
        text: As it was typed.

    Returns:
        The text without white space around it.

    Raises:
        ValueError: If it shows nothing, is too long, or has control characters or
            halves of characters in it.
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(
            f"expected a query of at most {MOST_CHARACTERS} characters, found "
            f"{len(text)}"
        )
    for place, character in enumerate(text):
        if _is_control(character):
            raise ValueError(
                f"expected a query of plain text, found the control character "
                f"U+{ord(character):04X} at place {place + 1}"
            )
    if not any(map(_is_visible, text)):
        raise ValueError("expected a query with some text, found an empty one")
    return text.strip()


def check_top_k(top_k: int) -> int:
    """Checks how many hits are asked for.

    Raises:
        ValueError: If it is not from 1 to `MOST_HITS`.
    """
    if not 1 <= top_k <= MOST_HITS:
        raise ValueError(f"top_k: expected 1 to {MOST_HITS}, found {top_k}")
    return top_k


def check_theme(name: str, themes: Sequence[str]) -> str:
    """Checks the name of a theme.

    Raises:
        ValueError: If it is none of these; the message names them, or some of many.
    """
    if name not in themes:
        shown = ", ".join(themes[:_THEMES_SHOWN])
        more = len(themes) - _THEMES_SHOWN
        found = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
        raise ValueError(
            f"theme: expected one of {shown}{f' and {more} more' if more > 0 else ''}, "
            f"found {found!r}"
        )
    return name


def check_theme_weight(weight: float, default: float | None) -> None:
    """Checks how much themes are to count.

    Args:
        weight: What is asked for.
        default: `Collection.theme_weight`.

    Raises:
        ValueError: If it is not from 0 to `MOST_THEME_WEIGHT`, or there is no such
            weight in a collection.
    """
    if default is None:
        raise ValueError(
            "theme_weight: expected none, as the index's model knows no themes, found "
            f"{weight:g}"
        )
    if not 0 <= weight <= MOST_THEME_WEIGHT:
        raise ValueError(
            f"theme_weight: expected 0 to {MOST_THEME_WEIGHT:g}, found {weight:g}"
        )


def check_match(match: str, matches: Sequence[str]) -> None:
    """Checks what is to find museums.

    Raises:
        ValueError: If a collection cannot be searched by it.
    """
    if match not in matches:
        raise ValueError(
            f"match: expected pictures, found {match!r}: no words are kept: no "
            "museum has a description, or the index is older"
        )


def check_sentences(count: int) -> None:
    """Checks how many sentences, or pieces of another kind, a query was cut into.

    Raises:
        ValueError: If there are more than `MOST_SENTENCES`.
    """
    if count > MOST_SENTENCES:
        raise ValueError(
            f"expected a query of at most {MOST_SENTENCES} sentences, found {count}"
        )


def cut_at_marks(text: str) -> list[str]:
    """Cuts a text into sentences wherever a full stop or the like is followed by space.

    Good for texts without abbreviations, such as those of generated museums; texts that
    people wrote are cut by `hm3_jax.extraction.texts.split_sentences`.

    Returns:
        The sentences in order, white space joined to single blanks, none empty.

    >>> cut_at_marks("A harbour.  Two ships! And the moon?")
    ['A harbour.', 'Two ships!', 'And the moon?']
    """
    parts: list[str] = []
    for paragraph in _BLANK_LINE.split(text):
        ends = [match.end() for match in _END.finditer(paragraph)]
        for first, last in itertools.pairwise([0, *ends, len(paragraph)]):
            parts.append(" ".join(paragraph[first:last].split()))
    return [part for part in parts if any(map(_is_visible, part))]


def _is_control(character: str) -> bool:
    if character in "\t\n\r":
        return False
    return unicodedata.category(character) in ("Cc", "Cs")


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ"
