"""Further processes, for what takes seconds of computing."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Submit = Callable[..., Future[Any]]
"""Has a function called with arguments, soon."""


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def processes(count: int) -> Iterator[Submit]:
    """Processes that compute side by side, on one thread each.

    What has not begun when the block ends with an error never does.

    Args:
        count: of processes; each starts when there is work for it.
    """
    # Started afresh: a copy of this process would have the locks of its threads.
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))

    def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        with _one_thread_each(), _without_interrupts():
            return pool.submit(function, *arguments)

    try:
        yield submit
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started within this compute on one thread.

    Several would wait for one another.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started within this leave Ctrl-C to this one, which ends them.

    They would write a traceback each.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
