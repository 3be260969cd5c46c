"""A stage in a process of its own, which may crash, hang or be out of time."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.clock import Clock
from benchmarks.gpu.results import Results
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.stages import Stage, Step
from benchmarks.in_process import REPOSITORY


def carry_out(
    stage: Stage,
    setting: Setting,
    results: Results,
    clock: Clock,
    environment: Mapping[str, str],
    log: Path,
) -> None:
    """Carries out the steps of a stage; whatever happens is in the results.

    Args:
        stage: which one.
        setting: what its steps are told.
        results: what they find is added to.
        clock: says how long a step may take; one that takes longer ends with its
            process.
        environment: of the process, besides this one's.
        log: file for what the process prints.
    """
    left = list(stage.steps)
    while left:
        if not clock.left:
            for step in left:
                results.ended(stage.name, step.name, "left out", error="no time left")
            return
        left = _some(stage, left, setting, results, clock, environment, log)


def _some(
    stage: Stage,
    steps: Sequence[Step],
    setting: Setting,
    results: Results,
    clock: Clock,
    environment: Mapping[str, str],
    log: Path,
) -> list[Step]:
    """Runs steps until they end or one of them ends the process; those that remain."""
    left = list(steps)
    with _process(stage, left, setting, environment, log) as news:
        while left:
            step, start = left[0], time.monotonic()
            until = start + clock.limit(stage, step)
            results.began(stage.name, step.name)
            while True:
                try:
                    told = news.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    seconds = time.monotonic() - start
                    results.ended(
                        stage.name,
                        step.name,
                        "stopped",
                        error=f"took more than {seconds:.0f} s",
                    )
                    return left[1:]
                if told is None:
                    results.ended(stage.name, step.name, "failed", error=_last(log))
                    return left[1:]
                if "row" in told:
                    results.found(stage.name, step.name, told["row"])
                elif told["state"] != "begun":
                    told.pop("step")
                    results.ended(stage.name, step.name, **told)
                    break
            left.pop(0)
    return left


@contextlib.contextmanager
def _process(
    stage: Stage,
    steps: Sequence[Step],
    setting: Setting,
    environment: Mapping[str, str],
    log: Path,
) -> Iterator[queue.Queue[dict[str, Any] | None]]:
    """What a worker tells, and None when it has ended; none is left afterwards."""
    command = [sys.executable, "-m", "benchmarks.gpu.worker", stage.module]
    command += [setting.to_text(), *(step.name for step in steps)]
    news: queue.Queue[dict[str, Any] | None] = queue.Queue()
    with (
        log.open("ab") as file,
        subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        ) as process,
    ):

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                news.put(json.loads(line))
            news.put(None)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield news
        finally:
            # Its own processes too, decoders among them.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            listener.join()


def _last(log: Path) -> str:
    """What a process that is gone said last."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line]
    return f"the process ended: {lines[-1] if lines else 'without a word'}"
