"""Writes small feature sets in the published layouts, with torch."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch to write torch files")

SIZE = 6
IDS = {
    "train": ["m1_TYPE_genre", "m0_TYPE_study", "m2_TYPE_genre"],
    "val": ["m4_TYPE_study"],
    "test": ["m5_x_TYPE_marine", "m3_TYPE_genre"],
}
VIDEOS = {
    "m0_TYPE_study": [["v1", "v0"], []],
    "m1_TYPE_genre": [["v0"]],
    "m2_TYPE_genre": [[], [], ["v2", "v2"]],
    "m3_TYPE_genre": [[]],
    "m4_TYPE_study": [["v1"], []],
    "m5_x_TYPE_marine": [["v2"], ["v0"]],
}


class HM3:
    """A feature set whose parts can be changed before it is written.

    Museum mN has N + 1 sentences; rooms as in `VIDEOS`, of 2 views each.
    """

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def tensor(*shape: int) -> Any:
            return torch.randn(shape, generator=generator)

        self.sentences: dict[str, Any] = {
            museum: tensor(int(museum[1]) + 1, SIZE) for museum in VIDEOS
        }
        # As published code makes them: rooms are pieces of one tensor.
        self.views: dict[str, Any] = {
            museum: list(tensor(2 * len(rooms), SIZE).half().split(2))
            for museum, rooms in VIDEOS.items()
        }
        self.videos: Any = {
            "featureSource": "clips",
            "features": {f"v{i}": tensor(SIZE) for i in range(4)},
        }
        self.images: dict[str, Any] = {}
        self.entries: dict[str, Any] = {
            key: {"data_fn": f"{key}.pickle", "extractor": extractor, "feature_size": 6}
            for key, extractor in (
                ("descriptions", "OPEN_CLIP"),
                ("povs", "OPEN_CLIP"),
                ("image_art", "NONE"),
                ("video_art", "C4C_VIT_BASE_32"),
            )
        }
        self.entries["descriptions"]["split_strategy"] = "BY_SENTENCE"
        self.entries["dataset_name"] = "small"
        self.museums: dict[str, Any] = {
            "splits": {split: list(ids) for split, ids in IDS.items()},
            "videos": {
                m: [list(room) for room in rooms] for m, rooms in VIDEOS.items()
            },
            "sentences": {
                museum: [f"{museum} sentence {i}" for i in range(len(tensor))]
                for museum, tensor in self.sentences.items()
            },
        }

    def write(self, folder: Path) -> Path:
        """Writes it; the feature set is called "base"."""
        (folder / "featureSets").mkdir(parents=True, exist_ok=True)
        (folder / "featureSets" / "base.json").write_text(json.dumps(self.entries))
        (folder / "museums.json").write_text(json.dumps(self.museums))
        for key, value in (
            ("descriptions", self.sentences),
            ("povs", self.views),
            ("image_art", self.images),
            ("video_art", self.videos),
        ):
            (folder / f"{key}.pickle").write_bytes(pickle.dumps(value))
        return folder


def write_indices(path: Path, splits: dict[str, list[int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {split: torch.tensor(indices) for split, indices in splits.items()}
    path.write_bytes(pickle.dumps(tensors))


def write_tensor(path: Path, rows: int, seed: int, size: int = SIZE) -> np.ndarray:
    """Writes a (rows, size) float16 tensor and returns it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.randn((rows, size), generator=generator).half()
    torch.save(tensor, path)
    return tensor.numpy()
