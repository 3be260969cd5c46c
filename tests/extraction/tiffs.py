"""Writes TIFFs by the specification, of any photometric and depth.

Pillow writes few of them, and would be wrong as it is when it reads.
"""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
_SHORT, _LONG = 3, 4


def write_tiff(
    path: Path,
    samples: np.ndarray,
    bits: int,
    photometric: int,
    *,
    order: str = "<",
    form: int = UNSIGNED,
    extra: Sequence[int] = (),
    fill_order: int = 1,
    palette: np.ndarray | None = None,
    separate: bool = False,
    deflate: bool = False,
) -> Path:
    """Writes one picture.

    Args:
        path: The file.
        samples: (height, width, samples) numbers as they are to be stored.
        bits: Of each sample.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 5 CMYK,
            6 YCbCr, 8 CIELab.
        order: "<" for II, ">" for MM.
        form: The sample format, `UNSIGNED`, `SIGNED` or `FLOAT`.
        extra: Meaning of samples beyond those of the photometric.
        fill_order: 2 if the first pixel is in the lowest bit of a byte.
        palette: (2 ** bits, 3) numbers to 65535.
        separate: Whether each sample's values lie together.
        deflate: Whether strips are compressed.
    """
    height, width, count = samples.shape
    planes = np.moveaxis(samples, -1, 0)[..., None] if separate else samples[None]
    strips = [
        b"".join(_row(row, bits, order, form) for row in plane) for plane in planes
    ]
    if fill_order == 2:
        strips = [bytes(int(f"{b:08b}"[::-1], 2) for b in strip) for strip in strips]
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]
    sizes = list(map(len, strips))
    data = b"".join(strips)
    tags: dict[int, tuple[int, list[int]]] = {
        256: (_SHORT, [width]),
        257: (_SHORT, [height]),
        258: (_SHORT, [bits] * count),
        259: (_SHORT, [8 if deflate else 1]),
        262: (_SHORT, [photometric]),
        266: (_SHORT, [fill_order]),
        273: (_LONG, [8 + sum(sizes[:i]) for i in range(len(planes))]),
        277: (_SHORT, [count]),
        278: (_SHORT, [height]),
        279: (_LONG, sizes),
        284: (_SHORT, [2 if separate else 1]),
        339: (_SHORT, [form] * count),
    }
    if photometric == 6:
        tags[530] = (_SHORT, [1, 1])
    if extra:
        tags[338] = (_SHORT, list(extra))
    if palette is not None:
        tags[320] = (_SHORT, palette.T.ravel().tolist())
    data += b"\0" * (len(data) % 2)
    place = 8 + len(data)
    after = place + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{'HI'[kind == _LONG]}", *numbers)
        if len(packed) > 4:
            pointer = struct.pack(f"{order}I", after + len(values))
            values += packed
        else:
            pointer = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + pointer
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, place)
    count_of_tags = struct.pack(f"{order}H", len(tags))
    path.write_bytes(head + data + count_of_tags + entries + b"\0" * 4 + values)
    return path


def _row(row: np.ndarray, bits: int, order: str, form: int) -> bytes:
    if bits % 8 == 0:
        kind = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[form]
        return row.astype(f"{order}{kind}{bits // 8}").tobytes()
    text = "".join(f"{int(value):0{bits}b}" for value in row.ravel())
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
