"""Several devices: one run's batches split over them, and a run for each."""

from __future__ import annotations

from benchmarks import cases, sweep
from benchmarks.gpu.setting import Row, Rows, Setting

NUMBERS = (1, 2, 4, 8)


def data_parallel(setting: Setting) -> Rows:
    """One run on 1, 2, 4 and 8 devices."""
    for number in _there(setting):
        yield _trained(setting, "batches split", 1, number)


def run_parallel(setting: Setting) -> Rows:
    """11 runs for each of 1, 2, 4 and 8 devices."""
    each = 1 if setting.miniature else 11
    for number in _there(setting):
        yield _trained(setting, "runs spread", each * number, number)


def _there(setting: Setting) -> list[int]:
    import jax

    most = jax.device_count()
    if most == 1:
        return []
    numbers = [number for number in NUMBERS if number <= most]
    return [2] if setting.miniature else numbers


def _trained(setting: Setting, what: str, runs: int, devices: int) -> Row:
    found = sweep.case(
        str(setting.store),
        runs,
        setting.epochs,
        str(cases.STRATEGY),
        devices,
        tested=False,
    )
    return {
        "what": what,
        "devices": devices,
        "runs": runs,
        "training_seconds": found["training_seconds"],
    }
