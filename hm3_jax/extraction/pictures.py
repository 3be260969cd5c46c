"""Opens pictures of any kind that museums have, as RGB the right way up."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hm3_jax.extraction.errors import UnreadableInput, first_line, require_packages

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 178_956_970
"""Larger pictures are refused, as by Pillow: decoded, this many take half a GB."""

MAX_ASPECT = 200
"""Pictures whose sides differ by more are refused: scaled until the short side fills a
model's input, their long side would take gigabytes."""


def open_picture(path: Path) -> Image.Image:
    """Reads a picture.

    The orientation a camera noted is applied. Transparent parts become white. 16-bit
    greys are scaled to 8 bits, where Pillow's own conversion would clip them. Of
    animations and files of several pages, the first picture is taken.

    Args:
        path: The file, in any format that Pillow reads.

    Returns:
        The picture, in mode RGB, decoded.

    Raises:
        UnreadableInput: If there is no such file, or it is damaged, cut short, not a
            picture, larger than `MAX_PIXELS` or narrower than `MAX_ASPECT`.
        ModuleNotFoundError: If Pillow is not installed.
    """
    require_packages("PIL")
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise UnreadableInput(path, "expected a picture, found no such file")
    try:
        with warnings.catch_warnings():
            # What Pillow warns about (odd metadata, many pixels) is decided here.
            warnings.simplefilter("ignore")
            # Opening reads no more than the header.
            with Image.open(path) as picture:
                check_size(path, *picture.size)
                picture.load()
                return _to_rgb(path, _upright(picture))
    except UnreadableInput:
        raise
    except UnidentifiedImageError:
        found = "something else" if path.stat().st_size else "an empty file"
        raise UnreadableInput(path, f"expected a picture, found {found}") from None
    except Image.DecompressionBombError:
        raise UnreadableInput(
            path, f"expected at most {MAX_PIXELS:,} pixels, found more"
        ) from None
    except Exception as error:
        # Damaged bytes make decoders raise almost anything.
        raise UnreadableInput(
            path,
            "expected a whole picture, found it damaged or cut short "
            f"({type(error).__name__}: {first_line(error)})",
        ) from None


def check_size(path: Path, width: int, height: int) -> None:
    """Raises `UnreadableInput` for more pixels, or a longer shape, than is sensible."""
    if width * height > MAX_PIXELS:
        raise UnreadableInput(
            path, f"expected at most {MAX_PIXELS:,} pixels, found {width} x {height}"
        )
    if max(width, height) > MAX_ASPECT * max(1, min(width, height)):
        raise UnreadableInput(
            path,
            f"expected a picture at most {MAX_ASPECT} times as long as wide, found "
            f"{width} x {height}",
        )


def _upright(picture: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        # Damaged metadata are no reason to lose a whole picture.
        return picture


def _to_rgb(path: Path, picture: Image.Image) -> Image.Image:
    from PIL import Image

    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_to_bytes(path, picture)).convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    if mode == "RGB":
        return picture.copy()  # closing the file would take the pixels with it
    return picture.convert("RGB")


def _to_bytes(path: Path, picture: Image.Image) -> np.ndarray:
    """Scales greys of more than 8 bits: (height, width) uint8."""
    greys = np.asarray(picture)
    top = 1.0 if picture.mode == "F" else 65535.0
    low, high = float(greys.min()), float(greys.max())
    # The comparison fails for NaN too.
    if not 0 <= low <= high <= top:
        raise UnreadableInput(
            path, f"expected greys from 0 to {top:g}, found {low:g} to {high:g}"
        )
    return np.rint(greys * (255 / top)).astype(np.uint8)
