"""A frozen CLIP model that makes features of pictures and texts."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from hm3_jax.extraction.clip_choice import (
    ClipChoice,
    ResolvedClip,
    resolve,
    with_activation,
)
from hm3_jax.extraction.errors import first_line
from hm3_jax.extraction.facts import check_same_encoder, library_versions
from hm3_jax.extraction.picture_transform import PictureTransform
from hm3_jax.extraction.text_tower import TextTower
from hm3_jax.extraction.tokens import ClipTokenizer
from hm3_jax.extraction.weights import read_weights, sha256_of

if TYPE_CHECKING:
    import torch

__all__ = ["ClipChoice", "ClipModel", "load_clip", "text_encoder_for"]


class ClipModel:
    """A CLIP model on a device.

    Features are as the model's projections give them: float32, not normalised.

    Attributes:
        feature_size: Floats a feature.
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
        self._text_tower = TextTower(model)
        self.precision = precision
        self.device_name = _name_of(device)
        self.feature_size = int(resolved.config["embed_dim"])
        self.tokenize = ClipTokenizer(_tokenizer_of(resolved))
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
        return self._run(self._model.encode_image, np.asarray(pixels, np.float32))

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


def text_encoder_for(
    facts: Mapping[str, Any], *, pretrained: str | None = None, device: str = "auto"
) -> Callable[[Sequence[str]], Float[np.ndarray, "n d"]]:
    """Loads the encoder that a store's sentences came from, for queries.

    Args:
        facts: Of the sentences' features: the fields of a `FeatureFacts`, as a store's
            manifest or a checkpoint has them.
        pretrained: Where the weights are, a tag, file or folder; the tag that `facts`
            name if None.
        device: As in `load_clip`.

    Returns:
        A function from texts to their (n, d) float32 features, not normalised.

    Raises:
        ValueError: If the facts do not say which model it was, or the weights are not
            those of the sentences; also as `load_clip`.
        FileNotFoundError: As `load_clip`.
    """
    model, weights = facts.get("model"), facts.get("weights")
    if not model:
        raise ValueError(
            "expected features that say which model they came from, found none named"
        )
    if str(model).startswith("custom-"):
        model = None  # the folder of the weights says which it is
    choice = ClipChoice(model, pretrained or weights, "float32")
    resolved = resolve(choice)
    checksum = sha256_of(resolved.weights_file)
    check_same_encoder(facts, resolved, checksum)
    clip = _load(resolved, checksum, choice.precision, device)
    return lambda texts: clip.encode_tokens(clip.tokenize(texts))


def _load(
    resolved: ResolvedClip, checksum: str, precision: str, device: str
) -> ClipModel:
    place = _pick_device(device)
    precision = _pick_precision(precision, place)
    model = _build(resolved)
    return ClipModel(resolved, model.to(place).eval(), place, precision, checksum)


def _pick_device(name: str) -> torch.device:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        return device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"expected a device that PyTorch has here, found {name!r} "
            f"({first_line(error)})"
        ) from None


def _name_of(device: torch.device) -> str:
    import torch

    cuda = device.type == "cuda"
    return torch.cuda.get_device_name(device) if cuda else str(device)


def _pick_precision(name: str, device: torch.device) -> str:
    import torch

    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return "bf16" if fast else "float32"
    if name == "fp16" and device.type == "cpu":
        raise ValueError("precision fp16 is for a GPU, found the device cpu")
    return name


def _build(resolved: ResolvedClip) -> Any:
    """The open_clip model with its weights, on the CPU."""
    import open_clip

    with _open_clip_quiet():
        try:
            model = open_clip.create_model(
                resolved.source,
                load_weights=False,
                pretrained_text=False,
                force_preprocess_cfg=dict(resolved.preprocessing),
            )
        except (TypeError, AssertionError, KeyError) as error:
            raise ValueError(
                f"{resolved.source}: expected settings of an architecture that "
                f"open_clip builds, found {type(error).__name__}: {first_line(error)}"
            ) from None
        _load_weights(model, resolved)
    return model.requires_grad_(False)


def _load_weights(model: Any, resolved: ResolvedClip) -> None:
    import open_clip

    path = resolved.weights_file
    weights = read_weights(path)
    _check_activation(resolved, weights.layout)
    _check_positions(path, weights.state, model.state_dict(), resolved.name)
    try:
        if weights.layout == "open_clip":
            open_clip.load_checkpoint(model, str(path))
        else:
            model.load_state_dict(weights.state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ValueError(
            f"{path}: expected weights of the model {resolved.name}, found others: "
            f"{' '.join(lines[1:])[:300]}"
        ) from None


def _check_activation(resolved: ResolvedClip, layout: str) -> None:
    if resolved.tagged or resolved.activation == "QuickGELU":
        return
    import open_clip

    path, name = resolved.weights_file, resolved.name
    quick = with_activation(name, "QuickGELU")
    if layout != "open_clip":
        raise ValueError(
            f"{path}: {layout} weights were trained with QuickGELU, the model {name} "
            f"has GELU: use {quick}"
        )
    if quick in open_clip.list_models():
        warnings.warn(
            f"{path} does not say which activation its weights were trained with: "
            f"{name} has GELU; if they are OpenAI's, use {quick}",
            stacklevel=2,
        )


def _check_positions(
    path: Any, state: Mapping[str, Any], wanted: Mapping[str, Any], name: str
) -> None:
    # open_clip would stretch them, as one may before training on.
    for key in state.keys() & wanted.keys():
        if not key.endswith("positional_embedding"):
            continue
        here, there = tuple(wanted[key].shape), tuple(state[key].shape)
        if here != there:
            raise ValueError(
                f"{path}: expected weights of the model {name} with a {key} of shape "
                f"{here}, found {there}"
            )


def _tokenizer_of(resolved: ResolvedClip) -> Any:
    import open_clip

    with _open_clip_quiet():
        return open_clip.get_tokenizer(resolved.source)


@contextmanager
def _open_clip_quiet() -> Iterator[None]:
    """Keeps open_clip's notes about random weights, which are to come, off stderr."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
