"""Features of what is searched for, made as a store's were: texts, and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hm3_jax.extraction.clip_model import text_model_for
from hm3_jax.extraction.pictures import open_picture
from hm3_jax.extraction.texts import TextSplit

Describe = Callable[[str], tuple[list[str], Float[np.ndarray, "pieces d"]]]
"""Cuts a text into pieces; the pieces and their features, float32."""


def describer_for(
    facts: Mapping[str, Any],
    *,
    language: str = "en",
    pretrained: str | None = None,
    device: str = "auto",
) -> Describe:
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
    clip = text_model_for(facts, pretrained=pretrained, device=device)

    def describe(text: str) -> tuple[list[str], Float[np.ndarray, "pieces d"]]:
        pieces = split.pieces(text, clip.tokenize)
        tokens, _ = clip.tokenize.pieces(pieces)
        return [piece.text for piece in pieces], clip.encode_tokens(tokens)

    return describe


def picture_encoder_for(
    facts: Mapping[str, Any], *, pretrained: str | None = None, device: str = "auto"
) -> Callable[[Path], Float[np.ndarray, " d"]]:
    """Loads what turns a picture into the feature that a store would have of it.

    Args:
        facts: Of the store's views: the fields of a `FeatureFacts`.
        pretrained: Where the weights are, as for `text_model_for`.
        device: As in `load_clip`.

    Returns:
        The feature of a file's picture, float32; raises as `open_picture`.

    Raises:
        ValueError: As `text_model_for`.
        FileNotFoundError: As `text_model_for`.
        ModuleNotFoundError: If PyTorch, open_clip or Pillow is not installed.
    """
    clip = text_model_for(facts, pretrained=pretrained, device=device)

    def encode(path: Path) -> Float[np.ndarray, " d"]:
        pixels = clip.picture_transform(open_picture(path))
        return clip.encode_pictures(pixels[None])[0]

    return encode
