"""Which files are pictures and videos, by the ends of their names: one list for all.

The reader (`hm3_jax.extraction.pictures`) looks inside files and takes these formats
only, whatever a file is called; none of them makes a decoder start a program.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

PICTURE_FORMATS: Mapping[str, tuple[str, ...]] = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PCX": (".pcx",),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "TGA": (".tga",),  # last, as nothing but its header's numbers tells it
}
"""Pillow's names of the formats that are read, and the suffixes of their files."""

_HEIF = (".heic", ".heif")
HEIF_READER = "pillow-heif"
HAS_HEIF_READER = importlib.util.find_spec("pillow_heif") is not None

NEEDS_MORE: Mapping[str, str] = (
    {} if HAS_HEIF_READER else dict.fromkeys(_HEIF, HEIF_READER)
)
"""Suffixes of pictures that nothing here reads, and the package that would."""

PICTURE_SUFFIXES: frozenset[str] = frozenset(
    suffix for suffixes in PICTURE_FORMATS.values() for suffix in suffixes
) | frozenset(_HEIF if HAS_HEIF_READER else ())
"""Suffixes of pictures that are read, in lower case with their dot."""

VIDEO_SUFFIXES: frozenset[str] = frozenset(
    [".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"]
    + [".mts", ".ogv", ".ts", ".webm", ".wmv"]
)
"""Suffixes of videos, in lower case with their dot."""
