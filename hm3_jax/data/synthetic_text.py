"""English descriptions of the museums of a synthetic set."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from hm3_jax.data.synthetic_plan import SLOTS

_OPENINGS = (
    "This {theme} museum has {count} rooms of {style} art.",
    "Behind {count} doors waits a collection of {theme} works, mostly in {technique}.",
    "The {count} rooms hold a {style} collection, most of it in {technique}.",
)

_ABOUT_ROOMS = (
    "a {mood} {subject} stands before a {setting}",
    "a {colour} {object} lies beside a {object2}",
    "a {subject} and a {subject2} share the wall",
    "the {setting} is seen in {technique}",
    "a {subject2} holds a {object2}",
    "all is kept in {colour} and looks {mood}",
    "a {style} view of a {setting} hangs above a {object}",
    "one sees a {object} at the feet of a {subject}",
)

_FIRST = ("In the {ordinal} room,", "The {ordinal} room is another matter:")
_FURTHER = ("There", "Beside it", "Across from it", "Further on")

_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh "
    "twelfth".split()
)
_BEFORE_A_VOWEL = re.compile(r"\ba(?= [aeiou])")
_NUMBERS = "no one two three four five six seven eight nine ten eleven twelve".split()

# The second of two slots of one group gets a 2 in the templates.
_SLOT_NAMES = tuple(
    f"{group}2" if group in SLOTS[:i] else group for i, group in enumerate(SLOTS)
)


def describe(
    theme: str,
    rooms: Sequence[Sequence[str]],
    sentences: Sequence[int],
    rng: np.random.Generator,
) -> list[str]:
    """Describes one museum: a sentence about all of it, then room by room.

    Args:
        theme: Name of the museum's theme.
        rooms: For each room, the concept words of `SLOTS`.
        sentences: For each room, how many sentences it gets.
        rng: Chooses the wording.
    """
    opening = _OPENINGS[rng.integers(len(_OPENINGS))]
    named = dict(zip(_SLOT_NAMES, rooms[0], strict=True))
    text = [opening.format(theme=theme, count=_word(_NUMBERS, len(rooms)), **named)]
    starts = rng.integers(len(_ABOUT_ROOMS), size=len(rooms)).tolist()
    for number, (words, count) in enumerate(zip(rooms, sentences, strict=True)):
        named = dict(zip(_SLOT_NAMES, words, strict=True))
        for i in range(count):
            # Neighbouring templates name different things.
            about = _ABOUT_ROOMS[(starts[number] + i) % len(_ABOUT_ROOMS)]
            lead = _FURTHER[(starts[number] + i) % len(_FURTHER)]
            if i == 0:
                lead = _FIRST[starts[number] % len(_FIRST)].format(
                    ordinal=_word(_ORDINALS, number)
                )
            text.append(f"{lead} {about.format(**named)}.")
    return [_BEFORE_A_VOWEL.sub("an", sentence) for sentence in text]


def _word(words: Sequence[str], number: int) -> str:
    """The number's word; digits, or "next", where there is none."""
    if number < len(words):
        return words[number]
    return "next" if words is _ORDINALS else str(number)
