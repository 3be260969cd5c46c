"""HM3's `hier_by_room_rnn_meanPoolProc_video` in plain PyTorch, as an opponent.

What a careful PyTorch user would write, not what the release does: no Python loop over
museums, all features in memory as float32, the GRUs over packed sequences whose layout
is worked out before the step, mean pools over unpadded rows, one host transfer of the
losses an epoch. The choices below were the fastest of those tried on CPU (see
`python benchmarks/torch_reference.py --help`).

The model follows spec sections 4 to 6: bidirectional GRU over sentences; rooms as mean
pools of views and videos; bidirectional GRU over rooms; standard triplet loss; Adam.
Parameter names are those of the release, so its states load as they are.
"""

import argparse
import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

KINDS = ("views", "videos")
CUTOFFS = (1, 5, 10)


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
    """Time-major layout of sequences sorted by length, for a `PackedSequence`.

    Attributes:
        rows: (steps,) position of each packed step among the unpacked ones.
        batch_sizes: (max length,) sequences that are still running, on the host.
        order: (sequences,) from sorted to given order.
        inverse: (sequences,) from given to sorted order.
    """

    rows: Tensor
    batch_sizes: Tensor
    order: Tensor
    inverse: Tensor

    def pack(self, table: Tensor) -> PackedSequence:
        steps = table.index_select(0, self.rows)
        return PackedSequence(steps, self.batch_sizes, self.order, self.inverse)


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
    features: np.ndarray, offsets: np.ndarray, index: np.ndarray | None = None
) -> Rows:
    """Puts features into memory as float32, with a zero row for empty owners.

    Args:
        features: (n, d) floats.
        offsets: (owners + 1,) each owner's place in `index`.
        index: (items,) rows of `features`; all of them in order unless given.
    """
    table = np.zeros((len(features) + 1, features.shape[1]), np.float32)
    table[:-1] = features
    index = np.arange(len(features)) if index is None else np.asarray(index, np.int64)
    return Rows(torch.from_numpy(table), index, np.asarray(offsets, np.int64))


def read_museums(path: str) -> Museums:
    """Reads a feature store with views and videos."""
    from hm3_jax.data.store import open_store

    store = open_store(path)
    if store.videos is None:
        raise ValueError(f"{path}: expected videos, found none")
    hung = store.videos.hung
    return Museums(
        ragged_rows(store.sentences.values, store.sentences.offsets),
        {
            "views": ragged_rows(store.views.values, store.views.offsets),
            "videos": ragged_rows(store.videos.table, hung.offsets, hung.values),
        },
        np.asarray(store.room_offsets),
    )


def _gathered(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """`starts[i] + 0 ... starts[i] + lengths[i] - 1` for every i, concatenated."""
    shift = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    return np.arange(lengths.sum()) + shift


def _packing(starts: np.ndarray, lengths: np.ndarray) -> Packing:
    order = np.argsort(-lengths, kind="stable")
    step = np.arange(lengths.max())[:, None]
    running = step < lengths[order]
    rows = (starts[order] + step)[running]
    tensors = (rows, running.sum(axis=1), order, np.argsort(order))
    return Packing(*map(torch.from_numpy, tensors))


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
    return Sets(*map(torch.from_numpy, (rows, owner, weight[:, None])))


def make_batch(museums: Museums, chosen: np.ndarray) -> Batch:
    """Works out the index arrays of a batch.

    Args:
        museums: The data.
        chosen: (batch,) indices of museums.
    """
    sentences = museums.sentences
    starts = sentences.offsets[chosen]
    lengths = sentences.offsets[chosen + 1] - starts
    first = museums.room_offsets[chosen]
    rooms = museums.room_offsets[chosen + 1] - first
    owners = _gathered(first, rooms)
    return Batch(
        _packing(starts, lengths),
        {kind: _sets(museums.items[kind], owners) for kind in KINDS},
        _packing(np.cumsum(rooms) - rooms, rooms),
    )


class Recurrence(nn.Module):
    """Bidirectional GRU; the mean of the two directions' last states."""

    def __init__(self, in_size: int, hidden_size: int) -> None:
        super().__init__()
        self.gru = nn.GRU(in_size, hidden_size, batch_first=True, bidirectional=True)

    def forward(self, packed: PackedSequence) -> Tensor:
        return self.gru(packed)[1].mean(dim=0)


class RoomPool(nn.Module):
    """Mean of relu(linear(item)) for views and videos, then a linear layer."""

    def __init__(self, in_size: int, size: int) -> None:
        super().__init__()
        self.trf_photo = nn.Linear(in_size, size)
        self.trf_video_art = nn.Linear(in_size, size)
        self.trf_mean = nn.Linear(2 * size, size)

    def forward(self, tables: dict[str, Tensor], sets: dict[str, Sets]) -> Tensor:
        means = []
        for kind, layer in zip(KINDS, (self.trf_photo, self.trf_video_art), strict=True):
            of = sets[kind]
            items = torch.relu(layer(tables[kind].index_select(0, of.rows)))
            total = items.new_zeros(len(of.weight), items.shape[1])
            means.append(total.index_add(0, of.owner, items) * of.weight)
        return self.trf_mean(torch.cat(means, dim=1))


class ByRoom(nn.Module):
    """Rooms, then the sequence of rooms."""

    def __init__(self, in_size: int, room_size: int, size: int) -> None:
        super().__init__()
        self.roomModel = RoomPool(in_size, room_size)
        self.sequenceModel = Recurrence(room_size, size)

    def forward(self, tables: dict[str, Tensor], batch: Batch) -> Tensor:
        rooms = self.roomModel(tables, batch.items)
        return self.sequenceModel(batch.rooms.pack(rooms))


class TwoTowers(nn.Module):
    """Both towers, with the release's parameter names."""

    def __init__(
        self, in_size: int = 512, room_size: int = 256, size: int = 256
    ) -> None:
        super().__init__()
        self.model_desc_pov = Recurrence(in_size, size)
        self.model_pov = ByRoom(in_size, room_size, size)

    def forward(self, museums: Museums, batch: Batch) -> tuple[Tensor, Tensor]:
        tables = {kind: rows.table for kind, rows in museums.items.items()}
        described = self.model_desc_pov(batch.sentences.pack(museums.sentences.table))
        return described, self.model_pov(tables, batch)


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """(n, d), (m, d) -> (n, m) cosines, norms as in spec section 5."""
    left, right = (
        x / (x.square().sum(dim=1, keepdim=True) + 1e-18).sqrt() for x in (left, right)
    )
    return left @ right.T


def triplet_loss(scores: Tensor, margin: float) -> Tensor:
    """Standard triplet loss of an (n, n) score matrix, n > 1 (spec section 5)."""
    own = scores.diagonal()
    costs = torch.relu(margin + scores - own[:, None])
    costs = costs + torch.relu(margin + scores - own[None, :])
    others = ~torch.eye(len(own), dtype=torch.bool, device=own.device)
    return costs[others].mean() / 2


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    museums: Museums,
    order: Sequence[np.ndarray],
    margin: float = 0.25,
) -> np.ndarray:
    """One epoch.

    Args:
        model: Maps (museums, batch) to embeddings of descriptions and museums.
        optimizer: Over the model's parameters.
        museums: The data.
        order: Museum indices of each batch.
        margin: Margin of the loss.

    Returns:
        (batches,) losses.
    """
    model.train()
    losses = []
    for batch in [make_batch(museums, chosen) for chosen in order]:
        optimizer.zero_grad(set_to_none=True)
        loss = triplet_loss(cosine(*model(museums, batch)), margin)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).cpu().numpy()


@torch.inference_mode()
def embed(
    model: nn.Module, museums: Museums, chosen: np.ndarray, batch_size: int = 256
) -> tuple[Tensor, Tensor]:
    """Embeds descriptions and museums, both (chosen, size)."""
    model.eval()
    parts = [
        model(museums, make_batch(museums, chosen[start : start + batch_size]))
        for start in range(0, len(chosen), batch_size)
    ]
    described, shown = zip(*parts, strict=True)
    return torch.cat(described), torch.cat(shown)


@torch.inference_mode()
def evaluate(described: Tensor, shown: Tensor, themes: Tensor) -> dict[str, float]:
    """Metrics of spec section 7 by sorting the whole matrix; percent, ranks from 1."""
    scores = cosine(described, shown)
    metrics = {}
    for name, matrix in (("t2s", scores), ("s2t", scores.T)):
        found = _directed_metrics(matrix, themes)
        metrics |= {f"{name}_{key}": value for key, value in found.items()}
    return metrics


def _directed_metrics(scores: Tensor, themes: Tensor) -> dict[str, float]:
    count = len(scores)
    ranking = scores.argsort(dim=1, descending=True, stable=True)
    queries = torch.arange(count, device=scores.device)
    rank = 1 + (ranking == queries[:, None]).int().argmax(dim=1)
    place = torch.arange(1, count + 1, device=scores.device)
    relevant = themes[ranking] == themes[:, None]
    hits = relevant.cumsum(dim=1)
    total = hits[:, -1]
    gain = 1 / torch.log2(1 + place.double())
    ideal = gain.cumsum(dim=0)[total - 1]

    def percent(values: Tensor) -> float:
        return 100 * values.double().mean().item()

    # torch's median is the lower of the middle two.
    median = np.median(rank.cpu().numpy())
    metrics = {"median_rank": float(median), "mean_rank": rank.double().mean().item()}
    for k in CUTOFFS:
        metrics[f"R@{k}"] = percent(rank <= k)
        metrics[f"class_R@{k}"] = percent(hits[:, k - 1] / total)
        metrics[f"class_P@{k}"] = percent(hits[:, k - 1] / k)
    metrics["avg_ndcg"] = percent(1 / torch.log2(1 + rank.double()))
    metrics["avg_ndcg_by_class"] = percent((relevant * gain).sum(dim=1) / ideal)
    metrics["mAP"] = percent(1 / rank.double())
    precision = hits / place
    metrics["mAP_by_class"] = percent((precision * relevant).sum(dim=1) / total)
    return metrics
