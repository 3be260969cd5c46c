"""Chunks of a long extraction: what is done is kept, piece by piece.

The distinct items of a kind (texts, pictures, videos) are cut into chunks of fixed
size, in the plan's order. A chunk is encoded as a whole, its batches never reach into
the next, so its numbers are the same whoever computes it, in whichever order.

A finished chunk is one file, written whole and checked when it is read:

    SHA-256 of all that follows, as 64 hexadecimal digits, and a line feed
    one line of JSON: run, kind, number, start, stop, size, failures, cut,
    damages, device
    little-endian float32 features (items that did not fail, size)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hm3_jax.files.durable import write_whole

KINDS = ("texts", "pictures", "videos")
"""Kinds of item, in the order in which they are encoded."""

# Batches of a chunk: some seconds to some minutes of work. A video is a batch or half
# of one by itself.
_BATCHES = {"texts": 16, "pictures": 4, "videos": 0.25}


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """Items `start` to `stop` (exclusive) of a kind.

    Attributes:
        kind: One of `KINDS`.
        number: Counts the kind's chunks, from 0.
        start: First item.
        stop: One after the last item.
    """

    kind: str
    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """Name of the chunk's file."""
        return f"{self.kind}-{self.number:06d}"

    @property
    def items(self) -> range:
        """Numbers of its items."""
        return range(self.start, self.stop)

    def __len__(self) -> int:
        """Number of items."""
        return self.stop - self.start


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class EncodedChunk:
    """What became of a chunk's items.

    Attributes:
        features: (encoded, d) float32, of the items that did not fail, in order.
        failures: Why items have no feature, by item number (that of the plan).
        cut: By how many tokens texts were too long for the model, by item number.
        device: What computed them, such as "cpu" or a GPU's name.
        damages: What is wrong with items that were read in part, by item number.
    """

    features: Float[np.ndarray, "encoded d"]
    failures: Mapping[int, str]
    cut: Mapping[int, int]
    device: str
    damages: Mapping[int, str] = dataclasses.field(default_factory=dict)


def cut(counts: Mapping[str, int], batch_size: int) -> tuple[Chunk, ...]:
    """Cuts all items into chunks.

    Args:
        counts: Number of items of each kind.
        batch_size: Items (frames, of videos) that the model is given at once.

    Returns:
        The chunks, kind by kind in the order of `KINDS`.
    """
    chunks = []
    for kind in KINDS:
        size = max(1, int(_BATCHES[kind] * batch_size))
        for number, start in enumerate(range(0, counts[kind], size)):
            stop = min(start + size, counts[kind])
            chunks.append(Chunk(kind, number, start, stop))
    return tuple(chunks)


def save_chunk(folder: Path, run: str, chunk: Chunk, encoded: EncodedChunk) -> None:
    """Writes a finished chunk.

    Args:
        folder: Of the chunks.
        run: Mark of the run that the chunk belongs to.
        chunk: Which chunk it is.
        encoded: What became of its items.

    Raises:
        OSError: The disk did not take it.
    """
    features = np.ascontiguousarray(encoded.features, "<f4")
    head = {
        "run": run,
        **dataclasses.asdict(chunk),
        "size": features.shape[1],
        "failures": dict(encoded.failures),
        "cut": dict(encoded.cut),
        "damages": dict(encoded.damages),
        "device": encoded.device,
    }
    body = f"{json.dumps(head)}\n".encode() + features.tobytes()
    digest = hashlib.sha256(body).hexdigest()
    write_whole(folder / chunk.name, f"{digest}\n".encode() + body)


def load_chunk(folder: Path, run: str, chunk: Chunk) -> EncodedChunk:
    """Reads a finished chunk.

    Raises:
        FileNotFoundError: It is not finished.
        ValueError: The file is damaged, or of another run or chunk.
    """
    path = folder / chunk.name
    digest, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError(
            f"{path}: expected the bytes that were written, found others; remove the "
            "file and extract again"
        )
    line, _, values = body.partition(b"\n")
    head = json.loads(line)
    found = [head[name] for name in ("run", "kind", "number", "start", "stop")]
    if found != [run, chunk.kind, chunk.number, chunk.start, chunk.stop]:
        raise ValueError(f"{path}: expected a chunk of this run, found one of another")
    return EncodedChunk(
        np.frombuffer(values, "<f4").reshape(-1, head["size"]),
        {int(item): why for item, why in head["failures"].items()},
        {int(item): tokens for item, tokens in head["cut"].items()},
        head["device"],
        # Chunks of the first versions have none.
        {int(item): what for item, what in head.get("damages", {}).items()},
    )


def missing(folder: Path, chunks: Iterable[Chunk]) -> list[Chunk]:
    """Those of `chunks` that have no file yet; what is in a file is not looked at."""
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    return [chunk for chunk in chunks if chunk.name not in present]
