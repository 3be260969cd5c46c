"""Opens pictures of any kind that museums have, as RGB the right way up."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from hm3_jax.data.picture_formats import (
    HAS_HEIF_READER,
    HEIF_READER,
    PICTURE_FORMATS,
)
from hm3_jax.extraction.errors import (
    FileSystemFailure,
    UnreadableInput,
    first_line,
    require_packages,
)
from hm3_jax.extraction.source_file import source_file

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 178_956_970
"""Larger pictures are decoded smaller or refused: as RGB, this many take half a GB."""

MAX_ASPECT = 200
"""Pictures whose sides differ by more are refused: scaled until the short side fills a
model's input, their long side would take gigabytes."""

# Brands of ISO media files that are still pictures and not AVIF.
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHER_FILES = {b"%!PS": "PostScript, which is a program", b"%PDF": "a PDF"}
_ROWS = 256  # converted at a time


def open_picture(path: Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Reads a picture.

    The orientation a camera noted is applied. Transparent parts become white. Greys of
    more than 8 bits are scaled to 8, where Pillow's own conversion would clip them. Of
    animations and files of several pages, the first picture is taken. Of a JPEG or
    JPEG 2000 file with too many pixels, every second, fourth or eighth is decoded.

    Args:
        path: The file, in any of `PICTURE_FORMATS`, whatever its name.
        max_pixels: Most pixels that are decoded.

    Returns:
        The picture, in mode RGB, decoded.

    Raises:
        UnreadableInput: If there is no such file, or it is damaged, cut short, not a
            picture, has more than `max_pixels` that cannot be decoded smaller, or is
            narrower than `MAX_ASPECT`.
        FileSystemFailure: If the file system failed.
        ModuleNotFoundError: If Pillow is not installed.
    """
    require_packages("PIL")
    from PIL import Image, UnidentifiedImageError

    with source_file(path, "a picture") as file, warnings.catch_warnings():
        # What Pillow warns about (odd metadata, many pixels) is decided here.
        warnings.simplefilter("ignore")
        try:
            # Opening reads no more than the header.
            with _own_rules(), Image.open(file, formats=_formats()) as picture:
                _fit_size(path, file, picture, max_pixels)
                _check_layout(path, picture)
                picture.load()
                tags = getattr(picture, "tag_v2", {})
                return _to_rgb(path, _upright(picture), tags)
        except UnreadableInput:
            raise
        except UnidentifiedImageError:
            raise UnreadableInput(
                path, f"expected a picture, found {_what_it_is(file)}"
            ) from None
        except Image.DecompressionBombError:
            raise _too_many(path, max_pixels, "more") from None
        except MemoryError:
            raise FileSystemFailure(path, "not enough memory to decode it") from None
        except Exception as error:
            # Damaged bytes make decoders raise almost anything.
            raise UnreadableInput(
                path,
                "expected a whole picture, found it damaged or cut short "
                f"({type(error).__name__}: {first_line(error)})",
            ) from None


def check_pixels(
    path: Path, width: int, height: int, max_pixels: int = MAX_PIXELS
) -> None:
    """Raises `UnreadableInput` for more pixels, or a longer shape, than is sensible."""
    if width * height > max_pixels:
        raise _too_many(path, max_pixels, f"{width} x {height}")
    if max(width, height) > MAX_ASPECT * max(1, min(width, height)):
        raise UnreadableInput(
            path,
            f"expected a picture at most {MAX_ASPECT} times as long as wide, found "
            f"{width} x {height}",
        )


def _too_many(path: Path, most: int, found: str) -> UnreadableInput:
    return UnreadableInput(
        path,
        f"expected at most {most:,} pixels, found {found} (--max_pixels allows more)",
    )


def _formats() -> list[str]:
    """Pillow's names of the formats that are read."""
    if not HAS_HEIF_READER:
        return list(PICTURE_FORMATS)
    import pillow_heif  # pyright: ignore[reportMissingImports]

    pillow_heif.register_heif_opener()
    return [*PICTURE_FORMATS, "HEIF"]


@contextmanager
def _own_rules() -> Iterator[None]:
    """Sizes are checked here, and libtiff reads layouts that Pillow takes for others.

    Without it, samples of 16 bits that lie apart and colours at half the resolution
    come out wrong.
    """
    from PIL import Image, TiffImagePlugin

    for key, modes in _more_tiffs():
        TiffImagePlugin.OPEN_INFO[key] = modes
    before = Image.MAX_IMAGE_PIXELS, TiffImagePlugin.READ_LIBTIFF
    Image.MAX_IMAGE_PIXELS, TiffImagePlugin.READ_LIBTIFF = None, True
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS, TiffImagePlugin.READ_LIBTIFF = before


def _more_tiffs() -> Iterator[tuple[Any, tuple[str, str]]]:
    """Greys that Pillow could read if it were told; `_to_bytes` makes light of them.

    Keys are byte order, photometric, sample formats, fill order, bits, extra samples;
    libtiff hands over numbers in this machine's order.
    """
    for order in (b"II", b"MM"):
        for photometric in (0, 1):
            for bits, modes in (
                (12, ("I;16", "I;12")),
                (16, ("I;16", "I;16")),
                (32, ("I", "I;32N")),
            ):
                yield (order, photometric, (1,), 1, (bits,), ()), modes
            yield (order, photometric, (3,), 1, (32,), ()), ("F", "F;32NF")
        yield (order, 1, (2,), 1, (16,), ()), ("I", "I;16NS")
        yield (order, 1, (2,), 1, (32,), ()), ("I", "I;32NS")


def _fit_size(path: Path, file: BinaryIO, picture: Any, max_pixels: int) -> None:
    """Has a picture decoded smaller if it is too large and its format can do that."""
    width, height = picture.size
    halvings = 0
    while (width >> halvings) * (height >> halvings) > max_pixels:
        halvings += 1
    # Progressive files are held whole while they are decoded, with all their pixels.
    jpeg = picture.format in ("JPEG", "MPO") and "progressive" not in picture.info
    if jpeg and 0 < halvings <= 3:
        picture.draft(None, (width >> halvings, height >> halvings))
        width, height = picture.size
    elif picture.format == "JPEG2000" and 0 < halvings <= _levels(file):
        picture.reduce = halvings
        width, height = width >> halvings, height >> halvings
    check_pixels(path, width, height, max_pixels)


def _levels(file: BinaryIO) -> int:
    """How often the sides of a JPEG 2000 picture can be halved; 0 if it is unclear."""
    file.seek(0)
    head = file.read(1 << 16)
    place = head.find(b"\xff\x4f\xff\x51") + 2
    # Segments of a marker, a length and the rest; COD is the one with the levels.
    while place >= 2 and place + 10 <= len(head):
        if head[place : place + 2] == b"\xff\x52":
            return head[place + 9]
        place += 2 + int.from_bytes(head[place + 2 : place + 4])
    return 0


def _check_layout(path: Path, picture: Image.Image) -> None:
    """Refuses the layouts of TIFFs that come out wrong."""
    tags = getattr(picture, "tag_v2", {})
    if tags.get(284) == 2 and picture.mode in ("LA", "La", "PA", "LAB"):
        raise UnreadableInput(
            path, f"expected a supported TIFF, found {_tiff_layout(tags)}"
        )


def _tiff_layout(tags: Any) -> str:
    """What decides how a TIFF is read."""
    apart = ", in separate planes" if tags.get(284) == 2 else ""
    return (
        f"one of photometric {tags.get(262)} with bits {tags.get(258)}, sample format "
        f"{tags.get(339, (1,))} and extra samples {tags.get(338, ())}{apart}: save it "
        "with 8 bits a sample, chunky"
    )


def _what_it_is(file: BinaryIO) -> str:
    """Names a file that is no picture, or none that is read."""
    from PIL import TiffImagePlugin

    file.seek(0)
    head = file.read(16)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return f"HEIC, which needs {HEIF_READER}: pip install {HEIF_READER}"
    for start, name in _OTHER_FILES.items():
        if head.startswith(start):
            return name
    if head.startswith(tuple(TiffImagePlugin.PREFIXES)):
        try:
            large = 43 in head[2:4]  # BigTIFF
            tags = TiffImagePlugin.ImageFileDirectory_v2(head[: 16 if large else 8])
            file.seek(tags.next)
            tags.load(file)
            return f"an unsupported TIFF, {_tiff_layout(tags)}"
        except Exception:
            return "a damaged TIFF"
    return "something else"


def _upright(picture: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        # Damaged metadata are no reason to lose a whole picture.
        return picture


def _to_rgb(path: Path, picture: Image.Image, tags: Any) -> Image.Image:
    from PIL import Image

    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        return Image.fromarray(_to_bytes(path, picture, tags)).convert("RGB")
    if mode == "La":
        picture = picture.convert("LA")
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    if mode == "RGB":
        return picture.copy()  # closing the file would take the pixels with it
    return picture.convert("RGB")


def _to_bytes(path: Path, picture: Image.Image, tags: Any) -> np.ndarray:
    """Scales greys of more than 8 bits, by the tags of TIFFs: (height, width) uint8."""
    greys = np.asarray(picture)
    black, white = 0.0, 1.0 if picture.mode == "F" else 65535.0
    bits, form = tags.get(258, (16,))[0], tags.get(339, (1,))[0]
    if tags and picture.mode != "F":
        if form == 1:
            white = float(2**bits - 1)
            greys = greys.view(f"u{greys.itemsize}")
        elif bits == 16:
            black, white = -32768.0, 32767.0
        if tags.get(262, 0) == 0:
            black, white = white, black
    low, high = float(greys.min()), float(greys.max())
    # The comparison fails for NaN too.
    if not min(black, white) <= low <= high <= max(black, white):
        raise UnreadableInput(
            path,
            f"expected greys from {black:g} to {white:g}, found {low:g} to {high:g}",
        )
    pixels = np.empty(greys.shape, np.uint8)
    for start in range(0, len(greys), _ROWS):
        rows = slice(start, start + _ROWS)
        pixels[rows] = np.rint((greys[rows] - black) * (255 / (white - black)))
    return pixels
