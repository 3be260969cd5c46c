"""Runs that do not fit the device's memory together are trained fewer at a time."""

import dataclasses
import itertools
import json
import os
import warnings
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import pytest

from hm3_jax.learn.devices import memory
from hm3_jax.learn.saved.run import Run
from hm3_jax.learn.settings import Execution
from hm3_jax.learn.training import run_program as module
from hm3_jax.learn.training.program import DoesNotFitError
from hm3_jax.tracking.following import NOBODY
from tests import golden_data
from tests.learn import small

RUNS = [
    Run(
        "unused",
        dataclasses.replace(small.SETTINGS, number_of_tries=5),
        k,
        Path(f"{k}"),
    )
    for k in (1, 2, 3, 4, 5)
]


def run(monkeypatch, limit: int, error: Exception):
    calls: list[tuple[int, ...]] = []

    class Trainer:
        def __init__(self, task, runs, execution):
            self.attempts = tuple(run.attempt for run in runs)

        def run(self, *, resume, listener, follower, stop):
            # After a failed attempt there are folders to go on in.
            assert resume == bool(calls)
            calls.append(self.attempts)
            if len(self.attempts) > limit:
                raise error
            return list(self.attempts)

    class Task:
        config = golden_data.strategy("rnn_meanPoolProc")

    monkeypatch.setattr(module, "Trainer", Trainer)
    results = module.run_program(
        cast(Any, Task), RUNS, lambda _: None, NOBODY, Execution(), False, None
    )
    return calls, [results[run] for run in RUNS]


def exhausted(message: str = "RESOURCE_EXHAUSTED: out of memory") -> Exception:
    return jax.errors.JaxRuntimeError(message)


def test_groups_are_halved_until_they_fit(monkeypatch):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        calls, results = run(monkeypatch, 1, exhausted())
    assert calls == [(1, 2, 3, 4, 5), (1, 2), (1,), (2,), (3,), (4,), (5,)]
    assert results == [1, 2, 3, 4, 5]
    assert "5 runs at once do not fit" in str(caught[0].message)


@pytest.mark.parametrize(
    ("available", "second"),
    [(80, (1, 2, 3, 4)), (60, (1, 2, 3)), (99, (1, 2, 3, 4)), (1, (1,))],
)
def test_where_it_is_known_how_many_fit_so_many_are_tried(
    monkeypatch, available, second
):
    with pytest.warns(UserWarning, match=f"continuing with {len(second)} at once"):
        calls, results = run(monkeypatch, len(second), DoesNotFitError(100, available))
    assert calls[:2] == [(1, 2, 3, 4, 5), second]
    assert results == [1, 2, 3, 4, 5]


def test_nothing_smaller_than_one_run(monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(jax.errors.JaxRuntimeError):
            run(monkeypatch, 0, exhausted())


def test_other_failures_are_not_hidden(monkeypatch):
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        run(monkeypatch, 1, exhausted("INTERNAL: broken"))


@pytest.mark.thorough
def test_runs_that_had_to_wait_are_what_they_are_together(
    store, folder, tmp_path, monkeypatch
):
    """And they are found to be too many before any has taken a step."""
    free = itertools.chain([50], itertools.repeat(10**6))
    monkeypatch.setattr(memory, "needed", lambda compiled: 100)
    monkeypatch.setattr(memory, "available", lambda device: next(free))
    heard = []
    execution = Execution(data_placement="device")
    with pytest.warns(UserWarning, match="2 runs at once do not fit .* with 1 at once"):
        found = small.train(
            store,
            tmp_path / "run",
            execution=execution,
            listener=heard.append,
            epochs=2,
        )
    epochs = [(report.runs[0][-1], report.epoch) for report in heard]
    assert epochs == [("1", 1), ("1", 2), ("2", 1), ("2", 2)]
    for attempt in (1, 2):
        record = json.loads((found / f"try_{attempt}" / "run.json").read_text())
        assert record["together"] == ["."]
        alone, together = small.log(found, attempt), small.log(folder, attempt)[:2]
        small.same_losses(alone, together)
        assert small.outcome(found, attempt)["epoch"] == 2


@pytest.mark.thorough
def test_a_single_run_is_tried_whatever_it_takes(store, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "needed", lambda compiled: 100)
    monkeypatch.setattr(memory, "available", lambda device: 1)
    execution = Execution(data_placement="device")
    folder = small.train(
        store, tmp_path / "run", execution=execution, number_of_tries=1, epochs=1
    )
    assert small.outcome(folder, 1)["epoch"] == 1


def test_what_a_program_needs_is_more_for_more():
    def program(x):
        return jnp.sum(jnp.sort(x @ x.T, axis=0)[::2])

    sizes = [
        memory.needed(jax.jit(program).lower(jnp.ones((n, 4))).compile())
        for n in (64, 256)
    ]
    assert 4 * 64**2 <= sizes[0] < sizes[1] / 4


def test_a_cpu_has_some_of_the_machines_memory(monkeypatch):
    (device, *_) = jax.devices("cpu")
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 2**20 < memory.available(device) <= total
    monkeypatch.setattr(memory, "_group_free", lambda: 12345)
    assert memory.available(device) == 12345


def test_an_accelerator_says_what_is_left():
    class Device:
        platform = "gpu"

        @staticmethod
        def memory_stats():
            return {"bytes_limit": 1000, "bytes_in_use": 300}

    assert memory.available(Device) == 700


def test_commands_but_training_take_memory_as_they_need_it(monkeypatch):
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    monkeypatch.delenv(name)
    memory.take_as_needed()
    assert os.environ[name] == "false"
    monkeypatch.setenv(name, "true")
    memory.take_as_needed()
    assert os.environ[name] == "true"
