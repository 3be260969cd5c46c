"""A frozen CLIP model that makes features of pictures and texts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.extraction.clip_choice import ClipChoice, ResolvedClip, resolve
from hm3_jax.extraction.clip_loading import (
    build,
    name_of,
    pick_device,
    pick_precision,
    tokenizer_of,
)
from hm3_jax.extraction.facts import (
    check_same_encoder,
    choice_of,
    library_versions,
)
from hm3_jax.extraction.picture_transform import PictureTransform
from hm3_jax.extraction.text_tower import ClipTextTower
from hm3_jax.extraction.tokens import ClipTokenizer
from hm3_jax.extraction.weights import sha256_of

if TYPE_CHECKING:
    import torch

__all__ = ["ClipChoice", "ClipModel", "load_clip", "text_model_for"]


class ClipModel:
    """A CLIP model on a device.

    Features are as the model's projections give them: float32, not normalised.

    Attributes:
        feature_size: Size of a feature.
        context_length: Tokens of a text.
        picture_transform: Makes the model's input of a picture; needs no PyTorch and
            can be pickled.
        tokenize: Makes tokens of texts; can be pickled.
        precision: "float32", "bf16" or "fp16".
        device_name: What computes, "cpu" or a GPU's name.
    """

    def __init__(
        self,
        resolved: ResolvedClip,
        model: Any,
        device: torch.device,
        precision: str,
        checksum: str,
    ):
        """Wraps a loaded open_clip model; use `load_clip`."""
        self._resolved = resolved
        self._model = model
        self._device = device
        self._checksum = checksum
        self._text_tower = ClipTextTower(model)
        self.precision = precision
        self.device_name = name_of(device)
        self.feature_size = int(resolved.config["embed_dim"])
        self.tokenize = ClipTokenizer(tokenizer_of(resolved))
        self.context_length = self.tokenize.context_length
        self.picture_transform = PictureTransform.from_open_clip(
            model.visual.preprocess_cfg
        )

    def facts(self) -> dict[str, Any]:
        """What it takes to compute the same features: JSON values.

        `hm3_jax.extraction.facts.feature_facts` makes a store's facts of them.
        """
        return {
            "model": self._resolved.name,
            "weights": self._resolved.weights,
            "weights_sha256": self._checksum,
            "activation": self._resolved.activation,
            "feature_size": self.feature_size,
            "context_length": self.context_length,
            "normalized": False,
            "preprocessing": self.picture_transform.to_json(),
            "precision": self.precision,
            "versions": library_versions(),
        }

    def encode_pictures(
        self, pixels: Float[np.ndarray, "n 3 h w"]
    ) -> Float[np.ndarray, "n d"]:
        """Makes features of pictures.

        Args:
            pixels: (n, 3, height, width) float32 of `picture_transform`.

        Returns:
            (n, d) float32.

        Raises:
            ValueError: If the shape is another.
        """
        wanted = (3, *self.picture_transform.size)
        if pixels.ndim != 4 or pixels.shape[1:] != wanted:
            raise ValueError(
                f"expected pictures of shape (n, {', '.join(map(str, wanted))}), "
                f"found {pixels.shape}"
            )
        # Some architectures would normalise by themselves.
        encode = functools.partial(self._model.encode_image, normalize=False)
        return self._run(encode, np.asarray(pixels, np.float32))

    def encode_tokens(
        self, tokens: Int[np.ndarray, "n context"]
    ) -> Float[np.ndarray, "n d"]:
        """Makes features of texts.

        Takes as long as the longest text of the batch does: texts of like length
        together are the fastest.

        Args:
            tokens: (n, context_length) of `tokenize`.

        Returns:
            (n, d) float32.

        Raises:
            ValueError: If the shape is another.
        """
        if tokens.ndim != 2 or tokens.shape[1] != self.context_length:
            raise ValueError(
                f"expected tokens of shape (n, {self.context_length}), found "
                f"{tokens.shape}"
            )
        length = int(self._text_tower.needed(tokens).max(initial=1))
        return self._run(self._text_tower, np.asarray(tokens[:, :length], np.int64))

    def text_lengths(
        self, tokens: Int[np.ndarray, "n context"]
    ) -> Int[np.ndarray, "n"]:
        """How many tokens of each text the model looks at, for sorting texts.

        Args:
            tokens: (n, context_length) of `tokenize`.

        Returns:
            (n,) int64, all the same for models that look at the padding too.
        """
        return self._text_tower.needed(tokens)

    def _run(
        self, encode: Callable[[torch.Tensor], torch.Tensor], inputs: np.ndarray
    ) -> Float[np.ndarray, "n d"]:
        import torch

        if len(inputs) == 0:
            return np.empty((0, self.feature_size), np.float32)
        # Memory of its own that is aligned and, for a GPU, does not move.
        batch = torch.from_numpy(np.require(inputs, requirements=["C", "W"]))
        if self._device.type == "cuda":
            batch = batch.pin_memory()
        batch = batch.to(self._device, non_blocking=True)
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        with (
            torch.inference_mode(),
            # Convolutions on a GPU would round to TF32 by themselves.
            torch.backends.cudnn.flags(enabled=True, allow_tf32=dtype is not None),
            torch.autocast(self._device.type, dtype, enabled=dtype is not None),
        ):
            return encode(batch).float().cpu().numpy()


def load_clip(choice: ClipChoice, device: str = "auto") -> ClipModel:
    """Loads a CLIP model.

    Args:
        choice: Model, weights and precision.
        device: PyTorch's name of a device; "auto" is the GPU if there is one.

    Returns:
        The model, ready to encode.

    Raises:
        ValueError: If model and weights are unknown, damaged or do not go together, or
            the device cannot do what is asked.
        FileNotFoundError: If the weights are missing or cannot be downloaded.
        ModuleNotFoundError: If PyTorch or open_clip is not installed.
    """
    resolved = resolve(choice)
    return _load(resolved, sha256_of(resolved.weights_file), choice.precision, device)


def text_model_for(
    facts: Mapping[str, Any], *, pretrained: str | None = None, device: str = "auto"
) -> ClipModel:
    """Loads the model that a store's sentences came from, for queries.

    Args:
        facts: Of the sentences' features: the fields of a `FeatureFacts`, as a store's
            manifest or a checkpoint has them.
        pretrained: Where the weights are, a tag, file or folder; the tag that `facts`
            name if None.
        device: As in `load_clip`.

    Returns:
        The model, ready to encode in float32.

    Raises:
        ValueError: If the facts do not say which model it was, or the weights are not
            those of the sentences; also as `load_clip`.
        FileNotFoundError: As `load_clip`.
    """
    resolved = resolve(choice_of(facts, pretrained))
    checksum = sha256_of(resolved.weights_file)
    check_same_encoder(facts, resolved, checksum)
    return _load(resolved, checksum, "float32", device)


def _load(
    resolved: ResolvedClip, checksum: str, precision: str, device: str
) -> ClipModel:
    place = pick_device(device)
    precision = pick_precision(precision, place)
    model = build(resolved)
    return ClipModel(resolved, model.to(place), place, precision, checksum)
