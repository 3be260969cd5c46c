"""HM3's `hier_by_room_rnn_meanPoolProc_video` in plain PyTorch, to compare with.

What a careful PyTorch user would write, not what the release does: no Python loop over
museums, all features on the device as float32, recurrences over packed sequences whose
layout is worked out before the step, mean pools over unpadded rows, fused Adam, one
transfer of the losses to the host an epoch.

There are two recurrences with the same parameters and numbers. "gru" is `nn.GRU`, the
obvious choice and cuDNN's on a GPU. On CPU the backward pass of its packed form fills a
buffer of all steps with zeros for each step; "loop" splits the steps once instead and
runs both directions as one product, which is faster there. Compare with both.

The model is HM3's: a bidirectional GRU over sentences; rooms as mean pools of views and
videos; a bidirectional GRU over rooms; standard triplet loss; Adam. Parameter names are
those of the release, so its states load as they are.

`benchmarks/time_torch.py` times it.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from benchmarks.torch_data import KINDS, Batch, Museums, Packing, Sets, make_batch

RecurrenceKind = Literal["gru", "loop"]
CUTOFFS = (1, 5, 10)


class Recurrence(nn.Module):
    """Bidirectional GRU; the mean of the two directions' last states."""

    def __init__(self, in_size: int, hidden_size: int, kind: RecurrenceKind) -> None:
        super().__init__()
        self.gru = nn.GRU(in_size, hidden_size, batch_first=True, bidirectional=True)
        self.run = {"gru": self._run_gru, "loop": self._run_loop}[kind]

    def forward(self, table: Tensor, packing: Packing) -> Tensor:
        return self.run(table.index_select(0, packing.rows), packing)

    def _run_gru(self, steps: Tensor, packing: Packing) -> Tensor:
        layout = (packing.batch_sizes, packing.order, packing.inverse)
        return self.gru(PackedSequence(steps, *layout))[1].mean(dim=0)

    def _run_loop(self, steps: Tensor, packing: Packing) -> Tensor:
        def both(name: str) -> Tensor:
            names = (f"{name}_l0", f"{name}_l0_reverse")
            return torch.stack([getattr(self.gru, each) for each in names])

        kernel, bias = both("weight_hh").mT, both("bias_hh")[:, None]
        steps = torch.stack([steps, steps.index_select(0, packing.turned)])
        inputs = torch.baddbmm(both("bias_ih")[:, None], steps, both("weight_ih").mT)
        state = inputs.new_zeros(2, len(packing.order), self.gru.hidden_size)
        ended = []
        for gates in inputs.split(packing.batch_sizes.tolist(), dim=1):
            running = gates.shape[1]
            if running < state.shape[1]:
                ended.append(state[:, running:])
                state = state[:, :running]
            state = _gru_cell(gates, torch.baddbmm(bias, state, kernel), state)
        last = torch.cat([state, *reversed(ended)], dim=1).mean(dim=0)
        return last.index_select(0, packing.inverse)


def _gru_cell(from_input: Tensor, from_state: Tensor, state: Tensor) -> Tensor:
    reset_x, update_x, new_x = from_input.chunk(3, dim=-1)
    reset_h, update_h, new_h = from_state.chunk(3, dim=-1)
    reset, update = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + reset * new_h)
    return new + update * (state - new)


class RoomPool(nn.Module):
    """Mean of relu(linear(item)) for views and videos, then a linear layer."""

    def __init__(self, in_size: int, size: int) -> None:
        super().__init__()
        self.trf_photo = nn.Linear(in_size, size)
        self.trf_video_art = nn.Linear(in_size, size)
        self.trf_mean = nn.Linear(2 * size, size)

    def forward(self, tables: dict[str, Tensor], sets: dict[str, Sets]) -> Tensor:
        means = []
        for kind, layer in zip(
            KINDS, (self.trf_photo, self.trf_video_art), strict=True
        ):
            of = sets[kind]
            items = torch.relu(layer(tables[kind].index_select(0, of.rows)))
            total = items.new_zeros(len(of.weight), items.shape[1])
            means.append(total.index_add(0, of.owner, items) * of.weight)
        return self.trf_mean(torch.cat(means, dim=1))


class ByRoom(nn.Module):
    """Rooms, then the sequence of rooms."""

    def __init__(
        self, in_size: int, room_size: int, size: int, kind: RecurrenceKind
    ) -> None:
        super().__init__()
        self.roomModel = RoomPool(in_size, room_size)
        self.sequenceModel = Recurrence(room_size, size, kind)

    def forward(self, tables: dict[str, Tensor], batch: Batch) -> Tensor:
        rooms = self.roomModel(tables, batch.items)
        return self.sequenceModel(rooms, batch.rooms)


class TwoTowers(nn.Module):
    """Both towers, with the release's parameter names."""

    def __init__(
        self,
        in_size: int = 512,
        room_size: int = 256,
        size: int = 256,
        kind: RecurrenceKind = "gru",
    ) -> None:
        super().__init__()
        self.model_desc_pov = Recurrence(in_size, size, kind)
        self.model_pov = ByRoom(in_size, room_size, size, kind)

    def forward(self, museums: Museums, batch: Batch) -> tuple[Tensor, Tensor]:
        tables = {kind: rows.table for kind, rows in museums.items.items()}
        described = self.model_desc_pov(museums.sentences.table, batch.sentences)
        return described, self.model_pov(tables, batch)


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """(n, d), (m, d) -> (n, m) cosines, with 1e-18 under each norm's root."""
    left, right = (
        x / (x.square().sum(dim=1, keepdim=True) + 1e-18).sqrt() for x in (left, right)
    )
    return left @ right.T


def triplet_loss(scores: Tensor, margin: float) -> Tensor:
    """Standard triplet loss of an (n, n) score matrix, n > 1."""
    own = scores.diagonal()
    costs = torch.relu(margin + scores - own[:, None])
    costs = costs + torch.relu(margin + scores - own[None, :])
    itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
    pairs = len(own) * (len(own) - 1)
    return costs.masked_fill(itself, 0).sum() / (2 * pairs)


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
    """The published metrics by sorting the whole matrix; percent, ranks from 1."""
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
