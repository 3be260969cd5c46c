"""From a picture file to the vectors that an index is searched with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hm3_jax.app.query_encoder import Query, model_of
from hm3_jax.data.concepts import MODEL as CONCEPTS
from hm3_jax.learn.evaluation.text_tower import InteractionTower
from hm3_jax.retrieval.index import Index


class PictureEncoder:
    """Embeds pictures as the views of an index's museums were embedded."""

    def __init__(
        self,
        encode: Callable[[Path], Float[np.ndarray, " d"]],
        tower: InteractionTower,
        dtype: str,
    ):
        """Joins the parts.

        Args:
            encode: Makes the feature of a file.
            tower: Makes a vector of features.
            dtype: What features are rounded to, as in the store of the museums.
        """
        self._encode, self._tower = encode, tower
        self._dtype = np.dtype(dtype)

    @classmethod
    def of_index(
        cls, index: Index, *, pretrained: str | None = None, device: str = "auto"
    ) -> PictureEncoder:
        """The encoder that fits an index.

        Args:
            index: The index.
            pretrained: As for `QueryEncoder.of_index`.
            device: As for `QueryEncoder.of_index`.

        Raises:
            ValueError: If the index cannot be searched by a picture, because museums
                have one vector each or were made up without pictures; or as
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
        from hm3_jax.extraction.query_features import picture_encoder_for

        encode = picture_encoder_for(
            encoder["pictures"], pretrained=pretrained, device=device
        )
        return cls(encode, tower, encoder["dtype"])

    def __call__(self, picture: Path) -> Query:
        """Embeds a picture.

        Raises:
            ValueError: If the file is missing or no picture.
        """
        feature = self._encode(picture).astype(self._dtype).astype(np.float32)
        return Query((picture.name,), self._tower.pictures(feature[None]))
