"""Small copies of pictures, made once."""

from __future__ import annotations

import asyncio
import functools
import io
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, ImageOps

from hm3_jax.retrieval.server.pictures import PictureFile

_LOG = logging.getLogger(__name__)
# Twice what the page shows, for screens with small points.
_LONGEST_SIDE = 640
# Decoded, so many take 200 MB; of a JPEG, those of the reduced size count.
_MOST_PIXELS = 50_000_000
_QUALITY = 80
_THREADS = 2
_KEPT_BYTES = 2**26
# What an entry takes beside its bytes.
_ENTRY_BYTES = 500

_Key = tuple[str, int, int]


class Thumbnails:
    """Makes small pictures in a few threads, and keeps the last ones in memory.

    Its methods are for the event loop's thread.
    """

    def __init__(self, kept_bytes: int = _KEPT_BYTES):
        """Makes nothing yet.

        Args:
            kept_bytes: How much memory those that are kept may take.
        """
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._bytes = 0
        self._making: dict[_Key, asyncio.Future[bytes]] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="thumbnails")

    async def of(self, file: PictureFile) -> bytes:
        """A picture as WebP, its longest side at most 640.

        Raises:
            FileNotFoundError: If the picture is damaged, or too large to be decoded.
        """
        key = (str(file.path), file.status.st_mtime_ns, file.status.st_size)
        content = self._kept.get(key)
        if content is None:
            # Shielded: others may wait for it when whoever asked first has gone.
            content = await asyncio.shield(self._make(key, file))
        else:
            self._kept.move_to_end(key)
        if not content:
            raise FileNotFoundError("no small copy can be made of this picture")
        return content

    def close(self) -> None:
        """Ends the threads; what waits is not made."""
        self._pool.shutdown(cancel_futures=True)

    def _make(self, key: _Key, file: PictureFile) -> asyncio.Future[bytes]:
        making = self._making.get(key)
        if making is None:
            loop = asyncio.get_running_loop()
            making = loop.run_in_executor(self._pool, _thumbnail, file)
            self._making[key] = making
            making.add_done_callback(functools.partial(self._keep, key))
        return making

    def _keep(self, key: _Key, made: asyncio.Future[bytes]) -> None:
        del self._making[key]
        if made.cancelled() or made.exception() is not None:
            return
        self._kept[key] = made.result()
        self._bytes += len(made.result()) + _ENTRY_BYTES
        while self._bytes > self._kept_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest) + _ENTRY_BYTES


def _thumbnail(file: PictureFile) -> bytes:
    """The small picture; empty where there can be none, which is kept too."""
    try:
        return make_thumbnail(file)
    except Exception as error:
        # Damaged bytes make decoders raise almost anything.
        _LOG.warning("%s: no thumbnail: %s: %s", file.path, type(error).__name__, error)
        return b""


def make_thumbnail(file: PictureFile) -> bytes:
    """Decodes a picture and encodes a small one, upright, as WebP.

    Raises:
        ValueError: If it has too many pixels.
        Exception: Whatever the decoder raises about damaged bytes.
    """
    # Only the decoder of the format that the first bytes are of.
    name = file.media_type.removeprefix("image/").upper()
    with Image.open(file.path, formats=[name]) as opened:
        # A JPEG is decoded at 1/2, 1/4 or 1/8, at least twice as large as is wanted.
        scale = min(1.0, 2 * _LONGEST_SIDE / max(opened.size))
        opened.draft(
            None, (int(opened.width * scale) or 1, int(opened.height * scale) or 1)
        )
        if opened.width * opened.height > _MOST_PIXELS:
            raise ValueError(
                f"expected at most {_MOST_PIXELS} pixels, found "
                f"{opened.width} x {opened.height}"
            )
        picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith("I"):
            # Greys of 16 bits, which conversion would clip.
            picture = picture.convert("I").point(lambda grey: grey * (1 / 256))
        alpha = picture.has_transparency_data
        picture = picture.convert("RGBA" if alpha else "RGB")
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=_QUALITY)
    return out.getvalue()
