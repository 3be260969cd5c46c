"""Exact search on the device, beside faiss on the CPU."""

from __future__ import annotations

import os
from typing import Any

from benchmarks import items, search
from benchmarks.gpu.setting import Rows, Setting

SIZE, ROUNDS = 256, 5


def vectors(setting: Setting) -> Rows:
    """Museums of one vector: single queries and batches of 64."""
    from hm3_jax.retrieval.on_device import DeviceSearch

    museums = search.make_museums(setting.vectors, SIZE)
    try:
        found = search.compare(museums, ROUNDS, _cores(), DeviceSearch)
    except ModuleNotFoundError as error:
        yield {"what": "vectors, beside faiss", "missing": error.name}
        found = _alone(DeviceSearch(museums), search.queries(SIZE))
    for case in ("single", "batch"):
        yield {
            "what": f"{setting.vectors:,} vectors, {case}",
            "bytes": museums.vectors.nbytes,
            **found[case],
        }


def item_vectors(setting: Setting) -> Rows:
    """Museums of many vectors: queries of five sentences."""
    from hm3_jax.retrieval.on_device import DeviceItemSearch

    museums = items.make_museums(setting.item_museums, setting.items, SIZE)
    try:
        found = items.compare(museums, ROUNDS, _cores(), DeviceItemSearch)
    except ModuleNotFoundError as error:
        yield {"what": "item vectors, beside faiss", "missing": error.name}
        found = _alone(DeviceItemSearch(museums), [items.make_query(SIZE)])["single"]
    kept = museums.embedded.items
    yield {"what": f"{len(kept):,} item vectors", "bytes": kept.nbytes, **found}


def _alone(ours: Any, asked: list[Any]) -> dict[str, dict[str, float]]:
    """Times of ours, where faiss is missing."""
    found = {}
    for name, queries in (("single", asked[:1]), ("batch", asked)):
        ours.search(queries, search.TOP_K)
        times = sorted(
            search.seconds(lambda q=queries: ours.search(q, search.TOP_K))
            for _ in range(ROUNDS)
        )
        found[name] = {"ours_milliseconds": 1000 * times[ROUNDS // 2]}
    return found


def _cores() -> int:
    return len(os.sched_getaffinity(0))
