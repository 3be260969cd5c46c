"""The golden museums and models (tests/golden), in this package's types."""

import json
from pathlib import Path

import numpy as np

from hm3_jax.learn.batches import Counts
from hm3_jax.learn.features import Column, Features, recurrence_of
from hm3_jax.nn.strategy import StrategyConfig, load_strategy

GOLDEN = Path(__file__).parent / "golden"
STRATEGIES = sorted(
    path.stem for path in GOLDEN.glob("*.json") if path.stem not in ("loss", "metrics")
)


def strategy(stem: str) -> StrategyConfig:
    """Golden strategy by file stem."""
    return load_strategy(GOLDEN / f"{stem}.json")


def arrays(stem: str) -> dict[str, np.ndarray]:
    """Arrays of a golden file."""
    with np.load(GOLDEN / f"{stem}.npz") as file:
        return dict(file)


def features(config: StrategyConfig, padding: float = np.nan) -> Features:
    """The golden museums as features, with rows that no museum owns at the end."""
    museums = arrays("museums")

    def column(name: str, lengths: str, indexed: bool = False) -> Column:
        rows = museums[name]
        unused = np.full((3, rows.shape[1]), padding, rows.dtype)
        offsets = np.asarray(offsets_of(museums[lengths]))
        if not indexed:
            return Column(np.asarray(np.concatenate([rows, unused])), offsets)
        # Artworks are stored once, in any order.
        place = np.random.default_rng(0).permutation(len(rows))
        table = np.empty_like(rows)
        table[place] = rows
        index = np.asarray(place.astype(np.int32))
        return Column(np.asarray(np.concatenate([table, unused])), offsets, index)

    every = {
        "views": column("povs", "povs_per_room"),
        "images": column("images", "images_per_room", indexed=True),
        "videos": column("videos", "videos_per_room", indexed=True),
    }
    return Features(
        sentences=column("desc", "desc_len"),
        items={kind: every[kind] for kind in config.uses},
        room_offsets=np.asarray(offsets_of(museums["rooms"])),
        themes=np.asarray(museums["theme"].astype(np.int32)),
        recurrence=recurrence_of(config),
    )


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Offsets of consecutive sets of these lengths."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def counts(config: StrategyConfig) -> Counts:
    """Counts of the golden museums."""
    return Counts.of(features(config))


def metrics_keys() -> list[str]:
    """Published metric names, in order."""
    return list(json.loads((GOLDEN / "metrics.json").read_text()))
