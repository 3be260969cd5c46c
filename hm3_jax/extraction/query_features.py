"""Features of what is searched for, made as a store's were: texts, and pictures."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hm3_jax.extraction.clip_model import ClipModel, text_model_for
from hm3_jax.extraction.decoding import Decoder, jobs_of
from hm3_jax.extraction.errors import require_packages
from hm3_jax.extraction.texts import TextSplit
from hm3_jax.extraction.workers import decoded
from hm3_jax.files.words import telling_words, unknown_note

# A picture that is searched with: its file's name while it is read, pixels that are
# decoded at most, and how long that may take.
_NAME, _MOST_PIXELS, _SECONDS = "picture", 50_000_000, 10.0
# Characters by which a note names a text.
_SHOWN = 40

Described = tuple[list[str], Float[np.ndarray, "pieces d"], list[str]]
"""Pieces of a text, their features (float32), and what to know of how it was read."""

# Words that are encoded together.
_TOGETHER = 8


def describer_for(
    facts: Mapping[str, Any],
    *,
    language: str = "en",
    pretrained: str | None = None,
    device: str = "auto",
) -> ClipDescriber:
    """Loads what turns a text into the features that a store would have of it.

    Args:
        facts: Of the store's sentences: the fields of a `FeatureFacts`.
        language: ISO 639 code of the texts' language, for finding sentences.
        pretrained: Where the weights are, as for `text_model_for`.
        device: As in `load_clip`.

    Raises:
        ValueError: As `text_model_for`, or if a text is to be cut in an unknown way.
        FileNotFoundError: As `text_model_for`.
        ModuleNotFoundError: If PyTorch, open_clip or sentencex is not installed.
    """
    details = facts.get("details") or {}
    split = TextSplit(
        details.get("text_split_strategy", "sentence_by_sentence"),
        details.get("text_stride"),
        language,
    )
    return ClipDescriber(_clip(facts, pretrained, device), split)


class ClipDescriber:
    """Makes features of texts, and of single words."""

    def __init__(self, clip: ClipModel, split: TextSplit):
        """Takes a model, and how texts are cut for it."""
        self._clip, self._split = clip, split

    def __call__(self, text: str) -> Described:
        """Cuts a text into pieces and makes features of them."""
        clip = self._clip
        pieces = self._split.pieces(text, clip.tokenize)
        tokens, longer = clip.tokenize.pieces(pieces)
        said = [piece.text for piece in pieces]
        return said, clip.encode_tokens(tokens), _notes(clip, said, longer.tolist())

    def words(self, words: Sequence[str]) -> list[Float[np.ndarray, " d"] | None]:
        """Features of words, each by itself; None for one that shows nothing.

        A word has the same bits whatever it comes with: the model is run on as many at
        a time, of as many tokens each.
        """
        clip = self._clip
        first = [self._split.pieces(word, clip.tokenize)[:1] for word in words]
        shown = [number for number, pieces in enumerate(first) if pieces]
        features: list[Float[np.ndarray, " d"] | None] = [None] * len(words)
        if not shown:
            return features
        tokens, _ = clip.tokenize.pieces([first[number][0] for number in shown])
        lengths = clip.text_lengths(tokens)
        for length in np.unique(lengths):
            alike = np.flatnonzero(lengths == length)
            for start in range(0, len(alike), _TOGETHER):
                some = alike[start : start + _TOGETHER]
                rows = clip.encode_tokens(tokens[np.resize(some, _TOGETHER)])
                for place, row in zip(some, rows, strict=False):
                    features[shown[place]] = row
        return features


def _notes(clip: ClipModel, said: Sequence[str], longer: Sequence[int]) -> list[str]:
    """What somebody should know who has typed these pieces of text."""
    notes = []
    for text, cut in zip(said, longer, strict=True):
        if cut:
            notes.append(
                f"“{text[:_SHOWN]}…” was cut: the encoder reads {clip.context_length} "
                f"tokens, {cut} more were left out."
            )
        elif not any(map(clip.tokenize.knows, telling_words(text))):
            notes.append(unknown_note(text))
    return notes


class PictureFeatures:
    """Makes features of pictures that are searched with, like those of a store."""

    def __init__(
        self,
        facts: Mapping[str, Any],
        *,
        pretrained: str | None = None,
        device: str = "auto",
    ):
        """Loads the model, unless `describer_for` just has.

        Args:
            facts: Of the store's views: the fields of a `FeatureFacts`.
            pretrained: Where the weights are, as for `text_model_for`.
            device: As in `load_clip`.

        Raises:
            ValueError: As `text_model_for`.
            FileNotFoundError: As `text_model_for`.
            ModuleNotFoundError: If PyTorch, open_clip or Pillow is not installed.
        """
        require_packages("PIL")
        self._clip = _clip(facts, pretrained, device)

    def read(self, content: bytes) -> Float[np.ndarray, "3 h w"]:
        """Decodes the content of a picture file, in any thread.

        In a process of its own: what was sent may crash a decoder, or keep it busy.

        Raises:
            ValueError: If it is no picture, a very large one, or takes too long.
            OSError: If the file system failed.
        """
        with tempfile.TemporaryDirectory(prefix="picture_") as folder:
            (Path(folder) / _NAME).write_bytes(content)
            decoder = Decoder(
                Path(folder),
                self._clip.picture_transform,
                frames_per_second=1,
                max_frames=1,
                max_pixels=_MOST_PIXELS,
                seconds_per_file=_SECONDS,
            )
            with decoded(jobs_of("pictures", [0], [_NAME]), decoder, 1) as results:
                (found,) = results
        if found.values is None:
            # A flag of the extraction, which is not to be had here.
            reason = found.failures[0].removesuffix(" (--max_pixels allows more)")
            raise ValueError(reason)
        return found.values[0]

    def encode(
        self, pictures: Sequence[Float[np.ndarray, "3 h w"]]
    ) -> Float[np.ndarray, "pictures d"]:
        """Features of what `read` has returned, float32."""
        return self._clip.encode_pictures(np.stack(pictures))


def _clip(facts: Mapping[str, Any], pretrained: str | None, device: str) -> ClipModel:
    """The model of some features; the one loaded last is kept."""
    details = facts.get("details") or {}
    # Of sentences and pictures the same.
    names = ("weights_sha256", "activation")
    known = {
        **{name: facts.get(name) for name in ("model", "weights", "feature_size")},
        "details": {name: details[name] for name in names if name in details},
    }
    return _loaded(json.dumps(known, sort_keys=True), pretrained, device)


@functools.lru_cache(maxsize=1)
def _loaded(facts: str, pretrained: str | None, device: str) -> ClipModel:
    return text_model_for(json.loads(facts), pretrained=pretrained, device=device)
