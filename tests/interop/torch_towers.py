"""The release's layers in plain torch, one museum at a time, without padding.

Names and shapes of the layers are the release's, so that its `model.safetensors` loads
with nothing missing and nothing left; what they compute is written from the paper.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

Items = Mapping[str, torch.Tensor]
"""Features of a set by kind, (items, size); a kind may have none."""

_SIZES = {"images": "image_art_in_channels", "videos": "video_art_in_channels"}


def _kinds(settings: Mapping[str, Any], views: str) -> dict[str, int]:
    found = {kind: settings[key] for kind, key in _SIZES.items() if key in settings}
    return {"views": settings[views], **found}


def _or_zero(items: torch.Tensor) -> torch.Tensor:
    """A set without items counts as one that holds a zero vector."""
    return items if len(items) else torch.zeros(1, items.shape[1])


class MeanPool(nn.Module):
    _NAMES = {
        "views": "trf_photo",
        "images": "trf_image_art",
        "videos": "trf_video_art",
    }

    def __init__(self, settings: Mapping[str, Any], views: str, width: str):
        super().__init__()
        self.kinds, size = _kinds(settings, views), settings[width]
        for kind, in_size in self.kinds.items():
            self.add_module(self._NAMES[kind], nn.Linear(in_size, size))
        self.trf_mean = nn.Linear(size * len(self.kinds), size)
        self.skips_last = settings.get("skip_last_linear", False)

    def forward(self, items: Items) -> torch.Tensor:
        pooled = [
            torch.relu(self.get_submodule(self._NAMES[kind])(_or_zero(items[kind])))
            for kind in self.kinds
        ]
        joined = torch.cat([rows.mean(0) for rows in pooled])
        return joined if self.skips_last else self.trf_mean(joined)


class Convolution(nn.Module):
    _NAMES = {"views": "conv", "images": "imageConv", "videos": "videoConv"}

    def __init__(self, settings: Mapping[str, Any], views: str, width: str, out: str):
        super().__init__()
        self.kinds, size = _kinds(settings, views), settings[width]
        kernel = settings["kernel_size"]
        for kind, in_size in self.kinds.items():
            layer = nn.Conv1d(in_size, size, kernel, padding=kernel // 2)
            self.add_module(self._NAMES[kind], layer)
        self.fc = nn.Linear(size * len(self.kinds), settings[out])

    def forward(self, items: Items) -> torch.Tensor:
        pooled = []
        for kind in self.kinds:
            layer = self.get_submodule(self._NAMES[kind])
            pooled.append(torch.relu(layer(_or_zero(items[kind]).T)).mean(1))
        return self.fc(torch.cat(pooled))


class Recurrence(nn.Module):
    def __init__(self, in_size: int, size: int, both_ways: bool, cell: str):
        super().__init__()
        layer = {"gru": nn.GRU, "lstm": nn.LSTM}[cell]
        self.add_module(cell, layer(in_size, size, bidirectional=both_ways))
        self.cell = cell

    def forward(self, items: Items | torch.Tensor) -> torch.Tensor:
        steps = items if isinstance(items, torch.Tensor) else items["views"]
        _, state = self.get_submodule(self.cell)(steps)
        last = state[0] if self.cell == "lstm" else state
        return last.mean(0)


class ByRoom(nn.Module):
    def __init__(self, room: nn.Module, sequence: nn.Module):
        super().__init__()
        self.roomModel, self.sequenceModel = room, sequence

    def forward(self, rooms: Sequence[Items]) -> torch.Tensor:
        embedded = torch.stack([self.roomModel(room) for room in rooms])
        return self.sequenceModel({"views": embedded})


class TwoTowers(nn.Module):
    """Both towers of a strategy, with the weights of a folder."""

    def __init__(self, folder: Path):
        super().__init__()
        config = json.loads((folder / "config.json").read_text())
        name, settings = config["strategy_name"], config["ee_args"]
        cell = "lstm" if settings["useLSTM"] else "gru"
        self.model_desc_pov = Recurrence(
            settings["desc_input_feature_size"],
            settings["desc_output_feature_size"],
            settings["desc_model_is_bidirectional"],
            cell,
        )
        self.by_room = not config["uses_flattened_hierarchy"]
        self.model_pov = (_by_room if self.by_room else _flat)(name, settings, cell)
        self.load_state_dict(load_file(folder / "model.safetensors"), strict=True)

    @torch.no_grad()
    def museum(self, rooms: Sequence[Items]) -> torch.Tensor:
        if self.by_room:
            return self.model_pov(rooms)
        together = {k: torch.cat([room[k] for room in rooms]) for k in rooms[0]}
        return self.model_pov(together)

    @torch.no_grad()
    def description(self, sentences: torch.Tensor) -> torch.Tensor:
        return self.model_desc_pov(sentences)


def _flat(name: str, settings: Mapping[str, Any], cell: str) -> nn.Module:
    views, width = "scene_input_channel", "scene_output_channels"
    if name.startswith("rnn_meanPool"):
        return MeanPool(settings, views, width)
    if name.startswith("rnn_cnn1d"):
        return Convolution(settings, views, width, "scene_output_feature_size")
    both = settings["scene_model_is_bidirectional"]
    return Recurrence(settings[views], settings[width], both, cell)


def _by_room(name: str, settings: Mapping[str, Any], cell: str) -> nn.Module:
    room = MeanPool(settings["roomModelArgs"], "scene_in_channels", "out_channels")
    args = settings["scenesSequenceModelArgs"]
    if "_2_" in name:
        sequence = MeanPool(args, "scene_in_channels", "out_channels")
    elif "cnn1d" in name:
        sequence = Convolution(args, "in_channels", "out_channels", "feature_size")
    else:
        both = args["is_bidirectional"]
        sequence = Recurrence(args["num_features"], args["hidden_size"], both, cell)
    return ByRoom(room, sequence)
