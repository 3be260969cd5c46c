"""Encodes chunks: the model is kept busy while the next batch is made ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from jaxtyping import Float

from hm3_jax.extraction.chunks import Chunk, EncodedChunk
from hm3_jax.extraction.decoding import Decoded
from hm3_jax.extraction.videos import VideoPooling, pool_frames

if TYPE_CHECKING:
    from hm3_jax.extraction.clip_model import ClipModel
    from hm3_jax.extraction.texts import TextPiece

# On a CPU, what more pictures take does not fit its caches: 64 at once were measured to
# take a fifth more time each than 16.
_PICTURES_ON_CPU = 16

Known = Mapping[int, np.ndarray]
"""(d,) features of items of a kind that are there already, by number."""

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def encode_texts(
    clip: ClipModel,
    chunk: Chunk,
    texts: Sequence[TextPiece],
    known: Known,
    batch_size: int,
    watch: Callable[[int], None],
) -> EncodedChunk:
    """Encodes a chunk of texts.

    Texts of similar length share a batch, because the model computes no further than
    the longest text of a batch.

    Args:
        clip: The model.
        chunk: The chunk.
        texts: All texts, by number.
        known: (d,) features of texts that need not be encoded, by number.
        batch_size: Texts the model is given at once.
        watch: Is told the number of texts of each batch that is done.
    """
    tokens, longer = clip.tokenize.pieces(texts[chunk.start : chunk.stop])
    cut = {chunk.start + int(i): int(longer[i]) for i in np.flatnonzero(longer)}
    items = [item for item in chunk.items if item not in known]
    tokens = tokens[[item - chunk.start for item in items]]
    order = np.argsort(clip.text_lengths(tokens), kind="stable")
    rows = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    features = np.empty((len(items), clip.feature_size), np.float32)
    encoded = in_background(clip.encode_tokens, (tokens[row] for row in rows))
    for row, batch in zip(rows, encoded, strict=True):
        features[row] = batch
        watch(len(row))
    return _joined(clip, chunk, items, features, known, {}, cut, {})


def encode_files(
    clip: ClipModel,
    chunk: Chunk,
    decoded: Iterable[Decoded],
    known: Known,
    batch_size: int,
    pooling: VideoPooling,
) -> EncodedChunk:
    """Encodes a chunk of pictures or videos.

    Args:
        clip: The model.
        chunk: The chunk.
        decoded: Its files that are not known, decoded, in order.
        known: (d,) features of items that need not be encoded, by number.
        batch_size: Pictures or frames the model is given at once; fewer on a CPU.
        pooling: How the frames of a video become one feature.
    """
    counts: list[int] = []
    failures: dict[int, str] = {}
    damages: dict[int, str] = {}

    def pixels() -> Iterator[np.ndarray]:
        for part in decoded:
            counts.extend(part.rows)
            failures.update(part.failures)
            damages.update(part.damages)
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
    items = [i for i in chunk.items if i not in failures and i not in known]
    return _joined(clip, chunk, items, features, known, failures, {}, damages)


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


def _joined(
    clip: ClipModel,
    chunk: Chunk,
    items: Sequence[int],
    features: np.ndarray,
    known: Known,
    failures: dict[int, str],
    cut: dict[int, int],
    damages: dict[int, str],
) -> EncodedChunk:
    """What became of a chunk, of the (items, d) features of some and of the known.

    Drops features that no store may hold, which half precision can lead to.
    """
    peaks = np.abs(features).max(axis=1, initial=0)
    for row in np.flatnonzero(~(np.isfinite(peaks) & (peaks > 0))):
        what = "only zeros" if peaks[row] == 0 else "NaN or infinity"
        failures[items[int(row)]] = f"expected a feature with a direction, found {what}"
    by_item = dict(zip(items, features, strict=True))
    rows = [
        known[item] if item in known else by_item[item]
        for item in chunk.items
        if item not in failures
    ]
    return EncodedChunk(
        np.array(rows, np.float32).reshape(len(rows), clip.feature_size),
        dict(sorted(failures.items())),
        cut,
        clip.device_name,
        damages,
    )
