"""Museums and batches for the PyTorch reference: index arrays, no padding."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from hm3_jax.data.store import FeatureStore

KINDS = ("views", "videos")


@dataclasses.dataclass(frozen=True)
class Rows:
    """Ragged rows: owner i has `table[index[offsets[i]:offsets[i + 1]]]`."""

    table: Tensor
    index: np.ndarray
    offsets: np.ndarray


@dataclasses.dataclass(frozen=True)
class Museums:
    """A data set in memory; sentences by museum, views and videos by room."""

    sentences: Rows
    items: dict[str, Rows]
    room_offsets: np.ndarray


@dataclasses.dataclass(frozen=True)
class Packing:
    """Time-major layout of sequences sorted by length, as a `PackedSequence` has it.

    Attributes:
        rows: (steps,) position of each packed step among the unpacked ones.
        batch_sizes: (max length,) sequences that are still running, on the host.
        order: (sequences,) from sorted to given order.
        inverse: (sequences,) from given to sorted order.
        turned: (steps,) packed place of the step that the reverse direction reads.
    """

    rows: Tensor
    batch_sizes: Tensor
    order: Tensor
    inverse: Tensor
    turned: Tensor


@dataclasses.dataclass(frozen=True)
class Sets:
    """Items of several sets: their rows, the set of each, and one over the sizes."""

    rows: Tensor
    owner: Tensor
    weight: Tensor


@dataclasses.dataclass(frozen=True)
class Batch:
    """Index arrays of a batch of museums."""

    sentences: Packing
    items: dict[str, Sets]
    rooms: Packing


def ragged_rows(
    features: np.ndarray,
    offsets: np.ndarray,
    index: np.ndarray | None = None,
    device: str = "cpu",
) -> Rows:
    """Puts features on the device as float32, with a zero row for empty owners.

    Args:
        features: (n, d) floats.
        offsets: (owners + 1,) each owner's place in `index`.
        index: (items,) rows of `features`; all of them in order unless given.
        device: Where to keep them.
    """
    table = np.zeros((len(features) + 1, features.shape[1]), np.float32)
    table[:-1] = features
    index = np.arange(len(features)) if index is None else np.asarray(index, np.int64)
    return Rows(
        torch.from_numpy(table).to(device), index, np.asarray(offsets, np.int64)
    )


def read_museums(store: FeatureStore, device: str = "cpu") -> Museums:
    """Puts an open feature store with views and videos on the device."""
    if store.videos is None:
        raise ValueError(f"{store.path}: expected videos, found none")
    hung = store.videos.hung
    sentences, views = store.sentences, store.views
    return Museums(
        ragged_rows(sentences.values, sentences.offsets, device=device),
        {
            "views": ragged_rows(views.values, views.offsets, device=device),
            "videos": ragged_rows(
                store.videos.table, hung.offsets, hung.values, device=device
            ),
        },
        np.asarray(store.room_offsets),
    )


def _gathered(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """`starts[i] + 0 ... starts[i] + lengths[i] - 1` for every i, concatenated."""
    shift = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    return np.arange(lengths.sum()) + shift


def _to(device: torch.device, *arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(array).to(device, non_blocking=True) for array in arrays]


def _packing(starts: np.ndarray, lengths: np.ndarray, device: torch.device) -> Packing:
    order = np.argsort(-lengths, kind="stable")
    step = np.arange(lengths.max())[:, None]
    running = step < lengths[order]
    rows = (starts[order] + step)[running]
    batch_sizes = running.sum(axis=1)
    at, rank = np.nonzero(running)
    first = np.cumsum(batch_sizes) - batch_sizes
    turned = first[lengths[order][rank] - 1 - at] + rank
    rows, order, inverse, turned = _to(device, rows, order, np.argsort(order), turned)
    # Packed sequences want their batch sizes on the host.
    return Packing(rows, torch.from_numpy(batch_sizes), order, inverse, turned)


def _sets(items: Rows, owners: np.ndarray) -> Sets:
    starts = items.offsets[owners]
    lengths = items.offsets[owners + 1] - starts
    rows = items.index[_gathered(starts, lengths)]
    owner = np.repeat(np.arange(len(owners)), lengths)
    # An empty set counts as one zero vector: the last row of the table.
    empty = np.flatnonzero(lengths == 0)
    rows = np.concatenate([rows, np.full(len(empty), len(items.table) - 1)])
    owner = np.concatenate([owner, empty])
    weight = (1 / np.maximum(lengths, 1)).astype(np.float32)
    return Sets(*_to(items.table.device, rows, owner, weight[:, None]))


def make_batch(museums: Museums, chosen: np.ndarray) -> Batch:
    """Works out the index arrays of a batch.

    Args:
        museums: The data.
        chosen: (batch,) indices of museums.
    """
    sentences = museums.sentences
    device = sentences.table.device
    starts = sentences.offsets[chosen]
    lengths = sentences.offsets[chosen + 1] - starts
    first = museums.room_offsets[chosen]
    rooms = museums.room_offsets[chosen + 1] - first
    owners = _gathered(first, rooms)
    return Batch(
        _packing(starts, lengths, device),
        {kind: _sets(museums.items[kind], owners) for kind in KINDS},
        _packing(np.cumsum(rooms) - rooms, rooms, device),
    )
