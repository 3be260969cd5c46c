"""The golden museums and models (tests/golden), in this package's types."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hm3_jax.learn.batches.features import Features, RaggedColumn
from hm3_jax.learn.batches.placement import OnDevice
from hm3_jax.learn.batches.plan import MuseumSizes
from hm3_jax.learn.devices.mesh import Layout
from hm3_jax.learn.evaluation.embed import embed, plan_embedding
from hm3_jax.learn.model import ModelSpec, stack_params
from hm3_jax.nn.strategy import Masking, TowersConfig, hm3_strategy
from hm3_jax.nn.strategy_json import load_strategy

GOLDEN = Path(__file__).parent / "golden"
STRATEGIES = sorted(
    path.stem for path in GOLDEN.glob("*.json") if path.stem not in ("loss", "metrics")
)


def strategy(stem: str) -> TowersConfig:
    """Golden strategy by file stem."""
    return hm3_strategy(load_strategy(GOLDEN / f"{stem}.json"))


def arrays(stem: str) -> dict[str, np.ndarray]:
    """Arrays of a golden file."""
    with np.load(GOLDEN / f"{stem}.npz") as file:
        return dict(file)


def features(config: TowersConfig, padding: float = np.nan) -> Features:
    """The golden museums as features, with rows that no museum owns at the end."""
    museums = arrays("museums")

    def column(name: str, lengths: str, indexed: bool = False) -> RaggedColumn:
        rows = museums[name]
        unused = np.full((3, rows.shape[1]), padding, rows.dtype)
        offsets = np.asarray(offsets_of(museums[lengths]))
        if not indexed:
            return RaggedColumn(np.asarray(np.concatenate([rows, unused])), offsets)
        # Artworks are stored once, in any order.
        place = np.random.default_rng(0).permutation(len(rows))
        table = np.empty_like(rows)
        table[place] = rows
        index = np.asarray(place.astype(np.int32))
        return RaggedColumn(np.asarray(np.concatenate([table, unused])), offsets, index)

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
        recurrence=config.recurrence,
    )


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Offsets of consecutive sets of these lengths."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def embeddings(
    config: TowersConfig,
    params: Mapping[str, Any],
    masking: Masking = "time",
    batch_size: int = 12,
    padding: float = np.nan,
) -> list[np.ndarray]:
    """What a model makes of the golden descriptions and of the museums."""
    stacked = stack_params(config.masked(masking), [params])
    layout = Layout.of(1, jax.devices()[:1], vector=1)
    source = OnDevice(features(config, padding), layout)
    plan = plan_embedding(counts(config), np.arange(12), batch_size, source, layout)
    out = embed(
        stacked, jnp.ones(1, bool), plan, spec=ModelSpec(config.masked(masking))
    )
    return [np.asarray(x[0]) for x in out]


def counts(config: TowersConfig) -> MuseumSizes:
    """MuseumSizes of the golden museums."""
    return MuseumSizes.of(features(config))


def metrics_keys() -> list[str]:
    """Published metric names, in order."""
    return list(json.loads((GOLDEN / "metrics.json").read_text()))
