"""What memory is taken: by a short command, and by the largest store that fits."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from benchmarks import cases, sweep
from benchmarks.gpu.facts import memory_taken
from benchmarks.gpu.setting import Rows, Setting

if TYPE_CHECKING:
    import numpy as np

    from hm3_jax.learn.batches.features import Features
    from hm3_jax.learn.batches.placement import DataPlacement

_NEAR = 0.02
"""How near the limit the two stores are."""


def of_a_short_command(setting: Setting) -> Rows:
    """Bytes of the card that are taken beside a process that takes what it needs."""
    del setting
    from hm3_jax.learn.devices.memory import take_as_needed

    take_as_needed()
    yield {"what": "taken beside a short command", **_kept()}


def of_a_long_command(setting: Setting) -> Rows:
    """The same beside a process whose JAX was told nothing."""
    del setting
    yield {"what": "taken beside training", **_kept()}


def _kept() -> dict[str, int | None]:
    import jax.numpy as jnp

    float((jnp.ones((256, 256)) @ jnp.ones((256, 256))).sum())
    return {"bytes": memory_taken()}


def largest_store(setting: Setting) -> Rows:
    """HM3's strategy on a store that just fits the device, and on a larger one.

    The generated store is given museums that hold nothing, and rows that nobody owns,
    until it has that size.
    """
    import jax

    from hm3_jax.learn.batches.placement import SHARE_FOR_FEATURES
    from hm3_jax.learn.devices.mesh import Layout

    room = Layout.of(1, jax.devices()[:1]).free_memory() * SHARE_FOR_FEATURES
    cases_of: list[tuple[str, float, DataPlacement]] = [
        ("fits", (1 - _NEAR) * room, "auto"),
        ("does not fit", (1 + _NEAR) * room, "auto"),
    ]
    if setting.miniature:
        cases_of = [("fits", 0, "device"), ("does not fit", 0, "host")]
    for what, size, placement in cases_of:
        grown: dict[str, int] = {}

        def grow(features: Features, size=size, grown=grown) -> Features:
            larger = _grown(features, int(size))
            grown["bytes"], grown["museums"] = larger.bytes, len(larger.themes)
            return larger

        found = sweep.case(
            str(setting.store),
            1,
            setting.epochs,
            str(cases.STRATEGY),
            num_devices=1,
            placement=placement,
            change=grow,
            tested=False,
        )
        yield {
            "what": what,
            **grown,
            "features_lie_on": found["features_lie_on"],
            "training_seconds": found["training_seconds"],
            "first_epoch_seconds": found["first_epoch_seconds"],
        }


def _grown(features: Features, size: int) -> Features:
    """Features of about so many bytes; the museums that were there stay as they are."""
    import numpy as np

    museums, bytes_now = len(features.themes), features.bytes
    more = max(0, (size - bytes_now) * museums // bytes_now)
    if not more:
        return features
    views = features.items["views"]
    of_row = views.table[:1].nbytes
    rows = (size - bytes_now - 12 * more) // of_row
    # Pages that nobody writes to take no memory.
    table = np.zeros((len(views.table) + rows, views.table.shape[1]), views.table.dtype)
    table[: len(views.table)] = views.table

    def edge(offsets: np.ndarray) -> np.ndarray:
        return np.pad(offsets, (0, more), mode="edge")

    return dataclasses.replace(
        features,
        sentences=dataclasses.replace(
            features.sentences, offsets=edge(np.asarray(features.sentences.offsets))
        ),
        items={**features.items, "views": dataclasses.replace(views, table=table)},
        room_offsets=edge(np.asarray(features.room_offsets)),
        themes=edge(np.asarray(features.themes)),
    )
