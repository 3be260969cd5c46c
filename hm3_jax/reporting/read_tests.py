"""Reads the tests of many runs, side by side where there is much to read."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from hm3_jax.reporting.records import Run
from hm3_jax.reporting.test_output import Tested, read_tested

# Bytes from which on further processes, which take a second to start, are worth it.
_MUCH = 2**28
# A process takes some 200 MB to read a file of three tries of 2,000 museums.
_PROCESSES = 4
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A run whose test is to be read, see `read_tested`."""

    run: Run
    both_by_theme: bool
    embeddings: bool


def read_all(
    wanted: Sequence[Wanted], say: Callable[[str], None], *, much: int = _MUCH
) -> dict[Run, Tested]:
    """Tests of runs.

    Args:
      wanted: runs, each with a finished try.
      say: told about those that cannot be read.
      much: bytes from which on several processes read.

    Returns:
      The tests that can be read.
    """
    size = sum(_size(one.run) for one in wanted)
    processes = min(_PROCESSES, len(os.sched_getaffinity(0)), len(wanted))
    if size < much or processes < 2:
        results = list(map(_read, wanted))
    else:
        # Started afresh: a copy of this process would have the locks of its threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context) as pool:
            with _one_thread_each(), _without_interrupts():
                found = pool.map(_read, wanted)
            results = list(found)
    tests = {}
    for one, result in zip(wanted, results, strict=True):
        if isinstance(result, str):
            say(result)
        else:
            tests[one.run] = result
    return tests


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started within this multiply matrices on one thread.

    Theirs would wait for one another.
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


def _read(wanted: Wanted) -> Tested | str:
    try:
        return read_tested(
            wanted.run,
            both_by_theme=wanted.both_by_theme,
            embeddings=wanted.embeddings,
        )
    except (ValueError, FileNotFoundError) as error:
        return f"{error}; no significance and no figures of it"


def _size(run: Run) -> int:
    try:
        return (run.folder / "test_output.json").stat().st_size
    except OSError:
        return 0
