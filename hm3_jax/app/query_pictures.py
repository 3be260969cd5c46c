"""From a picture to the vectors that an index is searched with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hm3_jax.app.query_encoder import EmbeddedQuery, model_of
from hm3_jax.data.concepts import MODEL as CONCEPTS
from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.retrieval.index import IndexHead

if TYPE_CHECKING:
    from hm3_jax.extraction.query_features import PictureFeatures


class PictureEncoder:
    """Embeds pictures as the views of an index's museums were embedded."""

    def __init__(self, features: PictureFeatures, tower: InteractionTower, dtype: str):
        """Joins the parts.

        Args:
            features: Makes features of pictures.
            tower: Makes vectors of features.
            dtype: What features are rounded to, as in the store of the museums.
        """
        self._features, self._tower = features, tower
        self._dtype = np.dtype(dtype)

    @classmethod
    def of_index(
        cls, index: IndexHead, *, pretrained: str | None = None, device: str = "auto"
    ) -> PictureEncoder:
        """The encoder that fits an index.

        Args:
            index: The index.
            pretrained: As for `QueryEncoder.of_index`.
            device: As for `QueryEncoder.of_index`.

        Raises:
            ValueError: If the index cannot be searched by a picture, because museums
                have one vector each or were generated without pictures; or as
                `QueryEncoder.of_index`.
            FileNotFoundError: As `QueryEncoder.of_index`.
            ModuleNotFoundError: As `QueryEncoder.of_index`.
        """
        tower = InteractionTower(model_of(index))
        encoder = index.manifest.facts.encoder
        if encoder["pictures"].get("model") == CONCEPTS:
            raise ValueError(
                f"{index.path}: expected an index of pictures, found one of generated "
                "museums, which have none"
            )
        # PyTorch only where it is needed.
        from hm3_jax.extraction.query_features import PictureFeatures

        features = PictureFeatures(
            encoder["pictures"], pretrained=pretrained, device=device
        )
        return cls(features, tower, encoder["dtype"])

    def read(self, content: bytes) -> Any:
        """Decodes a picture, in any thread; ValueError if it is none."""
        return self._features.read(content)

    def embed(self, pictures: Sequence[Any]) -> list[EmbeddedQuery]:
        """Embeds what `read` has returned; a picture has no sentences."""
        features = self._features.encode(pictures)
        rounded = features.astype(self._dtype).astype(np.float32)
        return [EmbeddedQuery((), self._tower.pictures(row[None])) for row in rounded]
