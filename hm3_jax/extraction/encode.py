"""Encodes chunks: the model is kept busy while the next batch is made ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Float

from hm3_jax.extraction.chunks import Chunk, EncodedChunk
from hm3_jax.extraction.videos import VideoPooling, pool_frames
from hm3_jax.extraction.workers import Decoded

if TYPE_CHECKING:
    from hm3_jax.extraction.clip_model import ClipModel
    from hm3_jax.extraction.texts import TextPiece

# On a CPU, what more pictures take does not fit its caches: 64 at once were measured to
# take a fifth more time each than 16.
_PICTURES_ON_CPU = 16

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def encode_texts(
    clip: ClipModel,
    chunk: Chunk,
    pieces: Sequence[TextPiece],
    batch_size: int,
    watch: Callable[[int], None],
) -> EncodedChunk:
    """Encodes a chunk of texts.

    Texts of similar length share a batch, because the model computes no further than
    the longest text of a batch.

    Args:
        clip: The model.
        chunk: The chunk.
        pieces: Its texts.
        batch_size: Texts the model is given at once.
        watch: Is told the number of texts of each batch that is done.
    """
    tokens, longer = clip.tokenize.pieces(pieces)
    order = np.argsort(clip.text_lengths(tokens), kind="stable")
    rows = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    features = np.empty((len(pieces), clip.feature_size), np.float32)
    encoded = in_background(clip.encode_tokens, (tokens[row] for row in rows))
    for row, batch in zip(rows, encoded, strict=True):
        features[row] = batch
        watch(len(row))
    cut = {chunk.start + int(i): int(longer[i]) for i in np.flatnonzero(longer)}
    return _checked(clip, chunk, features, {}, cut)


def encode_files(
    clip: ClipModel,
    chunk: Chunk,
    decoded: Iterable[Decoded],
    batch_size: int,
    pooling: VideoPooling,
) -> EncodedChunk:
    """Encodes a chunk of pictures or videos.

    Args:
        clip: The model.
        chunk: The chunk.
        decoded: Its files, decoded, in order.
        batch_size: Pictures or frames the model is given at once; fewer on a CPU.
        pooling: How the frames of a video become one feature.
    """
    counts: list[int] = []
    failures: dict[int, str] = {}

    def pixels() -> Iterator[np.ndarray]:
        for part in decoded:
            counts.extend(part.rows)
            failures.update(part.failures)
            if part.values is not None:
                yield part.values

    if clip.device_name == "cpu":
        batch_size = min(batch_size, _PICTURES_ON_CPU)
    encoded = list(in_background(clip.encode_pictures, batches(pixels(), batch_size)))
    features = np.concatenate([np.empty((0, clip.feature_size), np.float32), *encoded])
    if chunk.kind == "videos":
        ends = np.cumsum([count for count in counts if count])
        features = np.array(
            [pool_frames(part, pooling) for part in np.split(features, ends[:-1])]
            if len(ends)
            else features
        )
    return _checked(clip, chunk, features, failures, {})


def batches(
    parts: Iterable[Float[np.ndarray, "rows *shape"]], size: int
) -> Iterator[Float[np.ndarray, "size *shape"]]:
    """Cuts rows that come in parts into batches of `size`; the last may be smaller."""
    held: list[np.ndarray] = []
    rows = 0
    for part in parts:
        held.append(part)
        rows += len(part)
        if rows >= size:
            joined = np.concatenate(held)
            whole = rows - rows % size
            yield from (joined[i : i + size] for i in range(0, whole, size))
            held, rows = [joined[whole:]], rows - whole
    if rows:
        yield np.concatenate(held)


def in_background(
    call: Callable[[_In], _Out], arguments: Iterable[_In]
) -> Iterator[_Out]:
    """Results of `call`, in order, each computed while the next argument is made."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        before: Future[_Out] | None = None
        for argument in arguments:
            future = thread.submit(call, argument)
            if before is not None:
                yield before.result()
            before = future
        if before is not None:
            yield before.result()


def _checked(
    clip: ClipModel,
    chunk: Chunk,
    features: np.ndarray,
    failures: dict[int, str],
    cut: dict[int, int],
) -> EncodedChunk:
    """Drops features that no store may hold, which half precision can lead to."""
    peaks = np.abs(features).max(axis=1, initial=0)
    usable = np.isfinite(peaks) & (peaks > 0)
    items = [item for item in range(chunk.start, chunk.stop) if item not in failures]
    for row in np.flatnonzero(~usable):
        what = "only zeros" if peaks[row] == 0 else "NaN or infinity"
        failures[items[row]] = f"expected a feature with a direction, found {what}"
    return EncodedChunk(
        features[usable], dict(sorted(failures.items())), cut, clip.device_name
    )
