"""The published numbers, computed on the card at each precision."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.gpu.setting import Rows, Setting

NEEDED = {"embeddings": 1e-5, "losses": 1e-5, "gradients": 1e-5, "metrics": 1e-4}
"""Largest differences that count as equal."""


def highest(setting: Setting) -> Rows:
    """At float32, which is the default."""
    return _at("highest", setting, every=setting.all_strategies)


def high(setting: Setting) -> Rows:
    """At JAX's "high"."""
    return _at("high", setting)


def default(setting: Setting) -> Rows:
    """As GPUs multiply when they are told nothing."""
    return _at("default", setting)


def bf16(setting: Setting) -> Rows:
    """Products of bfloat16, summed in float32."""
    return _at("BF16_BF16_F32", setting)


def _at(precision: str, setting: Setting, *, every: bool = False) -> Rows:
    from tests import golden_data, golden_runs

    named, trainings = list(setting.strategies), golden_runs.TRAININGS
    if setting.miniature:
        trainings = trainings[:1] if precision == "highest" else []
    if every:
        named += [s for s in golden_data.STRATEGIES if s not in named]
    parts: dict[str, Callable[[], float]] = {
        "embeddings": lambda: _most(precision, _embeddings, named),
        "losses": lambda: _most(precision, _loss, ["loss"]),
        "gradients": lambda: _most(precision, _loss, ["grad"]),
        "trainings of 24 steps, losses": lambda: _most(precision, _training, trainings),
        "metrics": lambda: _most(precision, _metrics, [""]),
    }
    if not trainings:
        del parts["trainings of 24 steps, losses"]
    for what, largest in parts.items():
        start = time.perf_counter()
        difference = largest()
        yield {
            "what": what,
            "precision": precision,
            "largest_difference": difference,
            "needed": NEEDED.get(what),
            "of": len(named) if what == "embeddings" else None,
            "seconds_with_compilation": time.perf_counter() - start,
        }


def _most(
    precision: str, difference: Callable[[Any], float], of: Iterable[Any]
) -> float:
    """The largest difference; what is compiled for them is compiled side by side."""
    import jax

    def one(case: Any) -> float:
        with jax.default_matmul_precision(precision):
            return difference(case)

    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // 2)) as pool:
        return float(max(pool.map(one, of)))


def _embeddings(stem: str) -> float:
    from tests import golden_data, golden_runs

    golden, params = golden_data.arrays(stem), golden_runs.golden_params(stem)
    text, scene = golden_data.embeddings(golden_data.strategy(stem), params)
    wanted = golden.get("scene_out_time_mask", golden["scene_out"])
    return max(_apart(text, golden["desc_out"]), _apart(scene, wanted))


def _training(case: tuple[str, str]) -> float:
    from tests import golden_data, golden_runs

    losses, _ = golden_runs.trained(*case)
    return _apart(losses, golden_data.arrays("train_{}_{}".format(*case))["losses"])


def _loss(what: str) -> float:
    from tests import golden_data, golden_runs

    published, apart = golden_data.arrays("loss"), []
    for case in golden_runs.LOSSES:
        wanted = published[f"{what}{case['case']}"]
        # The release divides 0 by 0 in some.
        if not np.isnan(published[f"loss{case['case']}"]):
            found = golden_runs.loss_by_us(case)[("loss", "grad").index(what)]
            apart.append(_apart(found, wanted))
    return max(apart)


def _metrics(_: str) -> float:
    import json

    from hm3_jax.objective.metrics import retrieval_metrics
    from tests import golden_data

    arrays = golden_data.arrays("metrics")
    found = retrieval_metrics(
        *(arrays[name] for name in ("descriptions", "scenes", "themes"))
    )
    wanted = json.loads((golden_data.GOLDEN / "metrics.json").read_text())
    return max(abs(found[name] - value) for name, value in wanted.items())


def _apart(found: Any, wanted: Any) -> float:
    return float(np.abs(np.asarray(found) - np.asarray(wanted)).max())
