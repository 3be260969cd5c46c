"""From a picture to a CLIP model's input, as open_clip does it, without PyTorch.

Worker processes do this. Without PyTorch each of them starts in a tenth of a second
and takes little memory. The numbers are open_clip's, bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from PIL import Image

_RESIZE_MODES = ("shortest", "longest", "squash")
_INTERPOLATIONS = ("bicubic", "bilinear")


@dataclasses.dataclass(frozen=True, slots=True)
class PictureTransform:
    """Scales, crops and normalises a picture. Called with a picture of mode RGB.

    Attributes:
        size: (height, width) of the result.
        mean: Subtracted from each channel, in units of 0 to 1.
        std: Divides each channel after that.
        interpolation: "bicubic" or "bilinear".
        resize_mode: What is scaled to `size`: the "shortest" side (the rest is cut
            off, half on each side), the "longest" side (the rest is filled up), or
            "squash", both.
        fill_color: Grey level from 0 to 255 of what is filled up.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0

    def __post_init__(self) -> None:
        """Refuses what open_clip does not know either."""
        for value, known in (
            (self.interpolation, _INTERPOLATIONS),
            (self.resize_mode, _RESIZE_MODES),
        ):
            if value not in known:
                raise ValueError(f"expected one of {', '.join(known)}, found {value!r}")

    @classmethod
    def from_open_clip(cls, config: Mapping[str, Any]) -> PictureTransform:
        """Takes over an open_clip `preprocess_cfg`.

        Args:
            config: With `size`, `mean`, `std`, `interpolation`, `resize_mode` and
                `fill_color`; others are ignored.

        Raises:
            ValueError: If it asks for something that open_clip does not know.
        """
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else size
        return cls(
            size=(int(height), int(width)),
            mean=_channels(config["mean"]),
            std=_channels(config["std"]),
            interpolation=config["interpolation"],
            resize_mode=config["resize_mode"],
            fill_color=int(config.get("fill_color", 0)),
        )

    def to_json(self) -> dict[str, Any]:
        """The settings, as a manifest keeps them."""
        values = dataclasses.asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    def __call__(self, picture: Image.Image) -> Float[np.ndarray, "3 h w"]:
        """Makes a model's input of a picture.

        Args:
            picture: In mode RGB.

        Returns:
            (3, height, width) float32.
        """
        pixels = np.asarray(self._fit(picture), np.float32).transpose(2, 0, 1)
        pixels = np.ascontiguousarray(pixels)
        pixels /= np.float32(255)
        pixels -= np.asarray(self.mean, np.float32)[:, None, None]
        pixels /= np.asarray(self.std, np.float32)[:, None, None]
        return pixels

    def _fit(self, picture: Image.Image) -> Image.Image:
        from PIL import Image

        height, width = self.size
        scaled = picture.resize(self._scaled_size(picture), self._resampling())
        left, top = _start(scaled.width, width), _start(scaled.height, height)
        fill = self.fill_color if self.resize_mode == "longest" else 0
        fitted = Image.new("RGB", (width, height), (fill, fill, fill))
        fitted.paste(scaled, (-left, -top))
        return fitted

    def _scaled_size(self, picture: Image.Image) -> tuple[int, int]:
        """(width, height) before cropping; rounded as open_clip does in each case."""
        height, width = self.size
        if self.resize_mode == "squash":
            return width, height
        if self.resize_mode == "shortest" and height == width:
            short, long = sorted(picture.size)
            long = int(height * long / short)
            return (height, long) if picture.width <= picture.height else (long, height)
        choose = max if self.resize_mode == "longest" else min
        ratio = choose(picture.height / height, picture.width / width)
        return round(picture.width / ratio), round(picture.height / ratio)

    def _resampling(self) -> Image.Resampling:
        from PIL import Image

        height, width = self.size
        # open_clip forgets its interpolation in this one case.
        forgotten = self.resize_mode == "shortest" and height != width
        if self.interpolation == "bicubic" or forgotten:
            return Image.Resampling.BICUBIC
        return Image.Resampling.BILINEAR


def _start(have: int, want: int) -> int:
    """Where the middle `want` of `have` pixels start; negative if there are fewer."""
    return -((want - have) // 2) if have < want else round((have - want) / 2)


def _channels(value: Any) -> tuple[float, float, float]:
    """One number a channel, of one number or three."""
    if isinstance(value, int | float):
        value = [value] * 3
    red, green, blue = map(float, value)
    return red, green, blue
