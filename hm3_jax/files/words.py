"""Words that people read."""

from __future__ import annotations

import re

# Of English: they say nothing of what is seen.
_FUNCTION_WORDS = frozenset(
    (
        "a an and any are as at be but by can do for from had has have he her his i if "
        "in is it its me my no not of on or our she so some that the their them there "
        "these they this those to us was we were what which who will with you your"
    ).split()
)
_WORD = re.compile(r"\w+")
# Characters by which a note names a sentence.
_SHOWN = 80


def telling_words(text: str) -> list[str]:
    """The words of a text that may say what is seen, in lower case.

    >>> telling_words("The harbour of a king.")
    ['harbour', 'king']
    """
    words = _WORD.findall(text.casefold())
    return [word for word in words if word not in _FUNCTION_WORDS]


def unknown_note(sentence: str) -> str:
    """What is said of a sentence without a word that an encoder knows."""
    shown = sentence if len(sentence) <= _SHOWN else f"{sentence[:_SHOWN]}…"
    return f"“{shown}” may have no effect: the encoder knows none of its words."


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "run"), counted(2, "run"), counted(0, "try")
    ('1 run', '2 runs', '0 tries')
    >>> counted(1200, "museum")
    '1,200 museums'
    """
    if number == 1:
        return f"1 {noun}"
    ending = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {ending}"
