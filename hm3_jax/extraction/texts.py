"""Cuts descriptions into the pieces that get one feature each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, get_args

from hm3_jax.extraction.errors import require_packages

Description = str | Sequence[str] | Sequence[Sequence[str]]
"""One text, sentences, or the sentences of each room."""

TextSplitStrategy = Literal["sentence_by_sentence", "max_len"]
TEXT_SPLIT_STRATEGIES: tuple[str, ...] = get_args(TextSplitStrategy)

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n\s*")
# Texts of nothing but white space and characters that show nothing are empty.
_VISIBLE = re.compile(r"[^\s\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


class Encoder(Protocol):
    """What cutting by tokens takes of a tokenizer, such as `ClipTokenizer`."""

    context_length: int

    def encode(self, text: str) -> list[int]:
        """All tokens of a text, without those of start and end."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, in the tokenizer's spelling."""
        ...

    def frame(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Tokens between those of start and end."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of a description that gets one feature.

    Attributes:
        text: The sentence as it was written; of a window, its tokens spelt out.
        tokens: The tokens of a window, with those of start and end; None for a
            sentence, which its text stands for.
    """

    text: str
    tokens: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class TextSplit:
    """How descriptions are cut.

    Attributes:
        strategy: "sentence_by_sentence": every sentence is a piece; a description of
            one text is cut into sentences first. "max_len": the whole text is cut into
            windows as long as the model's context.
        stride: Tokens by which windows overlap, 0 if None. Only for "max_len".
        language: ISO 639 code of the texts' language, for finding sentences.
    """

    strategy: TextSplitStrategy = "sentence_by_sentence"
    stride: int | None = None
    language: str = "en"

    def __post_init__(self) -> None:
        """Refuses settings that contradict each other."""
        if self.strategy not in TEXT_SPLIT_STRATEGIES:
            raise ValueError(
                "expected a text split strategy of "
                f"{', '.join(TEXT_SPLIT_STRATEGIES)}, found {self.strategy!r}"
            )
        if self.stride is not None and self.strategy != "max_len":
            raise ValueError(
                f"text stride {self.stride} is for the strategy max_len, found "
                f"{self.strategy}"
            )
        if self.stride is not None and self.stride < 0:
            raise ValueError(
                f"expected a text stride of 0 or more tokens, found {self.stride}"
            )

    def pieces(
        self, description: Description, tokenizer: Encoder | None = None
    ) -> list[TextPiece]:
        """Cuts a description.

        Sentences without a visible character are left out; `count_empty` counts them.

        Args:
            description: One text, sentences, or sentences by room, which are taken one
                room after another.
            tokenizer: The model's; only "max_len" needs it.

        Returns:
            The pieces in order; none for a description without visible characters.

        Raises:
            ValueError: For "max_len" without a tokenizer, or where windows would not
                advance.
            ModuleNotFoundError: If a text must be cut into sentences and sentencex is
                not installed.
        """
        if self.strategy == "max_len":
            if tokenizer is None:
                raise ValueError("the text split strategy max_len needs a tokenizer")
            return _windows(description, tokenizer, self.stride or 0)
        if isinstance(description, str):
            sentences: Iterator[str] = iter(split_sentences(description, self.language))
        else:
            sentences = _sentences(description)
        return [TextPiece(text) for text in sentences if not is_empty(text)]


def split_sentences(text: str, language: str = "en") -> list[str]:
    """Cuts a text into sentences.

    Blank lines end a sentence, other line breaks do not.

    Args:
        text: The text.
        language: ISO 639 code of its language; an unknown one is treated as English.

    Returns:
        The sentences in order, white space joined to single blanks, none empty.

    Raises:
        ModuleNotFoundError: If sentencex is not installed.
    """
    require_packages("sentencex")
    from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

    return [
        sentence
        for paragraph in _BLANK_LINE.split(text)
        for part in segment(language, " ".join(paragraph.split()))
        if not is_empty(sentence := part.strip())
    ]


def is_empty(text: str) -> bool:
    """Says whether a text has no character that shows."""
    return _VISIBLE.search(text) is None


def count_empty(description: Description) -> int:
    """Number of sentences that `TextSplit.pieces` leaves out because they are empty."""
    if isinstance(description, str):
        return int(is_empty(description))
    return sum(map(is_empty, _sentences(description)))


def _sentences(description: Description) -> Iterator[str]:
    if isinstance(description, str):
        yield description
    else:
        for part in description:
            yield from _sentences(part)


def _windows(
    description: Description, tokenizer: Encoder, overlap: int
) -> list[TextPiece]:
    # Start and end take a token of each window.
    length = tokenizer.context_length - 2
    if overlap >= length:
        raise ValueError(
            f"expected a text stride below {length}, the tokens of a window, found "
            f"{overlap}"
        )
    text = " ".join(part for part in _sentences(description) if not is_empty(part))
    tokens = tokenizer.encode(text) if text else []
    pieces = []
    for start in range(0, len(tokens), length - overlap):
        window = tokens[start : start + length]
        pieces.append(TextPiece(tokenizer.decode(window), tokenizer.frame(window)))
        if start + length >= len(tokens):
            break  # what follows would lie within this window
    return pieces
