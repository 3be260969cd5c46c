"""Tries that do not fit the device's memory together are trained in smaller groups."""

import warnings
from pathlib import Path
from typing import Any, cast

import jax
import pytest

from hm3_jax.learn import experiment as module
from hm3_jax.learn.experiment import Experiment, Listeners
from hm3_jax.learn.settings import TrainSettings
from tests import golden_data


def run(monkeypatch, limit: int, message: str = "RESOURCE_EXHAUSTED: out of memory"):
    calls: list[tuple[int, ...]] = []

    class Trainer:
        def __init__(self, store, config, settings, folder, attempts):
            self.attempts = tuple(attempts)

        def run(self, *, resume, listener):
            calls.append(self.attempts)
            if len(self.attempts) > limit:
                raise jax.errors.JaxRuntimeError(message)
            return list(self.attempts)

    monkeypatch.setattr(module, "Trainer", Trainer)
    config = golden_data.strategy("rnn_meanPoolProc")
    experiment = Experiment(
        strategies=[config],
        settings=TrainSettings(number_of_tries=5),
        folder=Path("unused"),
        name="unused",
    )
    nothing = cast(Any, lambda *_: None)
    listeners = Listeners(nothing, nothing, nothing)
    results = module._run_tries(
        experiment, cast(Any, None), config, listeners, resume=False
    )
    return calls, results


def test_groups_are_halved_until_they_fit(monkeypatch):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        calls, results = run(monkeypatch, limit=1)
    assert calls == [(1, 2, 3, 4, 5), (1, 2), (1,), (2,), (3,), (4,), (5,)]
    assert results == [1, 2, 3, 4, 5]
    assert "5 tries at once do not fit" in str(caught[0].message)


def test_nothing_smaller_than_one_try(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(jax.errors.JaxRuntimeError):
            run(monkeypatch, limit=0)


def test_other_failures_are_not_hidden(monkeypatch):
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        run(monkeypatch, limit=1, message="INTERNAL: broken")
