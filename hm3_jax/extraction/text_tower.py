"""CLIP's text tower on no more tokens than the longest text has.

CLIP pads every text to 77 tokens. Where a token sees only those before it and the
feature is read off the end token, what follows the end token changes nothing; most
sentences are a third as long, and attention and products shrink with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    import torch


class ClipTextTower:
    """The text tower of an open_clip model."""

    def __init__(self, model: Any):
        """Finds out what kind of text tower a model has."""
        import open_clip
        from open_clip.transformer import TextTransformer

        self._model = model
        self._tower: Any = None
        self._pool: Any = None
        self._end: Any = None
        if type(model) is open_clip.CLIP:
            self._tower, self._pool = model, model.text_pool_type
            self._end = model.text_eos_id
        elif type(getattr(model, "text", None)) is TextTransformer:
            tower = model.text
            if tower.cls_emb is None and not tower.use_pad_mask:
                self._tower, self._pool = tower, tower.pool_type
                self._end = tower.eos_id
        causal = getattr(self._tower, "attn_mask", None) is not None
        self.can_shorten = causal and self._pool in ("argmax", "eos")

    def needed(self, tokens: Int[np.ndarray, "n context"]) -> Int[np.ndarray, "n"]:
        """How many tokens of each text its feature depends on.

        Args:
            tokens: (n, context) with padding.

        Returns:
            (n,) int64; the context length for architectures that need all.
        """
        length = tokens.shape[1]
        if not self.can_shorten:
            return np.full(len(tokens), length)
        end = tokens.max(axis=1, keepdims=True) if self._pool == "argmax" else self._end
        # The last one, should a text spell out the end token itself.
        return length - np.argmax((tokens == end)[:, ::-1], axis=1)

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """Encodes texts.

        Args:
            tokens: (n, length) int64 on the model's device; length may be less than
                the context where `can_shorten`.

        Returns:
            (n, d) features, not normalised.
        """
        if not self.can_shorten:
            return self._model.encode_text(tokens, normalize=False)
        from open_clip.transformer import text_global_pool
        from torch import nn

        tower, length = self._tower, tokens.shape[1]
        dtype = tower.transformer.get_cast_dtype()
        x = tower.token_embedding(tokens).to(dtype)
        x = x + tower.positional_embedding[:length].to(dtype)
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
        x = text_global_pool(
            tower.ln_final(x), tokens, self._pool, eos_token_id=self._end
        )
        projection: Any = tower.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Module) else x @ projection
