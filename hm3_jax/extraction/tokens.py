"""Texts to the tokens that a CLIP model reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from hm3_jax.extraction.texts import TextPiece

# Words whose tokens CLIP's own tokenizer remembers; by itself it would forget none.
_REMEMBERED = 50_000
# Letters, or other signs, that it takes as one word. The time that it takes grows with
# their square; longer runs, which no language has, are taken as several words.
_LONGEST_RUN = 200
_LETTER, _SIGN = r"[^\W\d_]", r"(?:[^\w\s]|_)"
_LONG_RUN = re.compile(
    "|".join(f"{one}{{{_LONGEST_RUN}}}(?={one})" for one in (_LETTER, _SIGN))
)


class ClipTokenizer:
    """A model's tokenizer, with numpy instead of PyTorch; can be pickled.

    Attributes:
        context_length: Tokens of a text, with those of start and end and the padding.
        own: Whether it is CLIP's own byte-pair tokenizer. Others, from Hugging Face,
            tokenize whole texts only.
    """

    def __init__(self, tokenizer: Any):
        """Wraps what `open_clip.get_tokenizer` returned."""
        from open_clip.tokenizer import SimpleTokenizer

        self._tokenizer = tokenizer
        self.context_length: int = tokenizer.context_length
        self.own = (
            isinstance(tokenizer, SimpleTokenizer) and tokenizer.reduction_fn is None
        )

    def __call__(self, texts: Sequence[str]) -> Int[np.ndarray, "n context"]:
        """Tokenizes texts, each cut to the context length.

        Args:
            texts: The texts.

        Returns:
            (n, context_length) int64, padded after the end token.
        """
        return self.pieces([TextPiece(text) for text in texts])[0]

    def pieces(
        self, pieces: Sequence[TextPiece]
    ) -> tuple[Int[np.ndarray, "n context"], Int[np.ndarray, "n"]]:
        """Tokenizes pieces of descriptions, and says which are too long.

        Args:
            pieces: Sentences or windows.

        Returns:
            (n, context_length) int64 tokens, padded after the end token; (n,) int64,
            how many tokens of each piece were cut off (0 where a tokenizer other than
            CLIP's own and Hugging Face's does not say).
        """
        if not self.own:
            return self._foreign_pieces([piece.text for piece in pieces])
        tokens = np.zeros((len(pieces), self.context_length), np.int64)
        cut = np.zeros(len(pieces), np.int64)
        room = self.context_length - 2
        for number, piece in enumerate(pieces):
            row = piece.tokens
            if row is None:
                encoded = self.encode(piece.text)
                cut[number] = max(len(encoded) - room, 0)
                row = self.frame(encoded[:room])
            tokens[number, : len(row)] = row
        return tokens, cut

    def _foreign_pieces(
        self, texts: list[str]
    ) -> tuple[Int[np.ndarray, "n context"], Int[np.ndarray, "n"]]:
        """`pieces` of another tokenizer than CLIP's own."""
        cut = np.zeros(len(texts), np.int64)
        if not texts:
            return np.zeros((0, self.context_length), np.int64), cut
        tokens = np.asarray(self._tokenizer(texts), np.int64)
        inside = getattr(self._tokenizer, "tokenizer", None)
        if inside is not None:
            cleaned = [self._tokenizer.clean_fn(text) for text in texts]
            whole = inside(cleaned, verbose=False)["input_ids"]
            cut += [max(len(row) - self.context_length, 0) for row in whole]
        return tokens, cut

    def encode(self, text: str) -> list[int]:
        """All tokens of a text, without those of start and end.

        Raises:
            ValueError: If the tokenizer is not CLIP's own.
        """
        if not self.own:
            raise ValueError(
                "expected a model with CLIP's own tokenizer for cutting texts by "
                f"tokens, found one with {type(self._tokenizer).__name__}"
            )
        tokens = self._tokenizer.encode(_LONG_RUN.sub(r"\g<0> ", text))
        if len(self._tokenizer.cache) > _REMEMBERED:
            # What it begins with, and cannot find out: that these are not spelt out.
            special = map(self._tokenizer.decoder.get, self._tokenizer.all_special_ids)
            self._tokenizer.cache = {token: token for token in special}
        return tokens

    def knows(self, word: str) -> bool:
        """Whether a word is one token; True for tokenizers that do not say.

        Rare words and misspelt ones are spelt out of pieces.
        """
        return not self.own or len(self.encode(word)) == 1

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens of CLIP's own tokenizer, in its lower-case spelling."""
        return self._tokenizer.decode(tokens).strip()

    def frame(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Tokens of CLIP's own tokenizer between those of start and end."""
        start, end = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
        return (start, *tokens, end)
