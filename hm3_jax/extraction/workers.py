"""Reading ahead: worker processes decode files while the model computes.

Worker w of n decodes every n-th job from the w-th on and hands the results over
through a pipe, whose reader takes them from the workers in turns. So results come in
the order of the jobs, and nothing depends on the number of workers. A worker ends
when nobody reads its pipe any more, even if its parent was killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Mapping, MutableSequence, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import numpy as np

from hm3_jax.extraction.decoding import Decoded, Decoder, Job
from hm3_jax.extraction.errors import FileSystemFailure

_AHEAD = 2  # decoded jobs of a worker that wait to be sent

# Below this many pictures and frames, a second process takes longer than it saves.
_WORTH_A_PROCESS = 64
_MOST = 32
_NICE = 10

_LOOK = 0.5  # seconds between looks at a worker that is waited for
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)


def worker_count(asked: int | None, pictures: int) -> int:
    """Number of worker processes.

    Args:
        asked: What the user wants, or None for the number that suits the work: one at
            least, as nothing can end a decoder that hangs in this process.
        pictures: Pictures and frames to decode.
    """
    if asked is not None:
        return asked
    if pictures < _WORTH_A_PROCESS:
        return 1
    return min(len(os.sched_getaffinity(0)), _MOST)


@contextlib.contextmanager
def decoded(
    jobs: Sequence[Job], decoder: Decoder, workers: int
) -> Iterator[Iterator[Decoded]]:
    """Decodes jobs, in order, ahead of whoever takes the results.

    Args:
        jobs: The jobs.
        decoder: What decodes them.
        workers: Processes; 0 decodes each job when it is asked for, in this process,
            where nothing ends a decoder that hangs or saves one that crashes.

    Returns:
        A context with the iterator of the results, which raises FileSystemFailure if
        the file system failed, and RuntimeError if a worker was killed. Leaving the
        context ends the workers.
    """
    if workers == 0:
        yield map(decoder, jobs)
        return
    # Started with the first worker, it would undo what blocks interrupts.
    resource_tracker.ensure_running()
    workers = min(workers, len(jobs))
    started = [_Worker(decoder, jobs[first::workers]) for first in range(workers)]
    try:
        for worker in started:
            worker.start(0)
        yield (started[i % workers].receive(i // workers) for i in range(len(jobs)))
    finally:
        for worker in started:
            worker.end()


class _Worker:
    """A process that decodes jobs, as its parent sees it."""

    def __init__(self, decoder: Decoder, jobs: Sequence[Job]):
        """Takes all of its jobs; starts nothing."""
        # Forking a process that has threads, as PyTorch has, may lock up.
        self._processes = multiprocessing.get_context("spawn")
        self._decoder, self._jobs = decoder, jobs
        self._given_up: dict[tuple[str, int], str] = {}
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def start(self, first: int) -> None:
        """Starts a process for the jobs from the `first` on."""
        self._first = first
        # Number of the job among the process's, number of the item, and since when it
        # is decoded; 0 if none is.
        self._at: MutableSequence[float] = self._processes.RawArray("d", [0, 0, 0])
        self._pipe, writer = self._processes.Pipe(duplex=False)
        jobs = self._jobs[first:]
        self._process = self._processes.Process(
            target=_work,
            args=(writer, self._decoder, jobs, self._given_up, self._at),
            daemon=True,
        )
        with _interrupts_blocked():
            self._process.start()
        # Only the worker may hold it, or its end would go unnoticed.
        writer.close()

    def end(self) -> None:
        """Ends the process, whatever it is doing."""
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join()

    def receive(self, number: int) -> Decoded:
        """Waits for the result of a job, the next of this worker's.

        Raises:
            FileSystemFailure: The file system failed.
            RuntimeError: The process was killed.
        """
        while True:
            assert self._pipe is not None and self._process is not None
            try:
                if self._pipe.poll(_LOOK):
                    return self._take()
            except (EOFError, OSError):  # at the end of a message, or within one
                self._process.join()
                code = self._process.exitcode or 0
                if -code not in _CRASHES or not self._at[2]:
                    raise RuntimeError(
                        f"a worker process ended with exit code {code} near "
                        f"{self._jobs[number].files[0]} (-9: killed, usually because "
                        "memory ran out)"
                    ) from None
                self._give_up(number, f"its decoder crashed (exit code {code})")
                continue
            limit = self._decoder.seconds_per_file
            since = self._at[2]
            if since and time.monotonic() - since > limit:
                self._give_up(
                    number,
                    f"its decoder was ended after {limit:g} s (--seconds_per_file "
                    "allows more)",
                )

    def _give_up(self, number: int, reason: str) -> None:
        """Goes on from a job without the file that the process is at."""
        self.end()
        job = self._jobs[self._first + int(self._at[0])]
        self._given_up[job.kind, int(self._at[1])] = reason
        self.start(number)

    def _take(self) -> Decoded:
        assert self._pipe is not None
        message = self._pipe.recv()
        if isinstance(message, Exception):
            raise message
        rows, failures, damages, shape = message
        values = None
        if shape is not None:
            values = np.empty(*shape)
            self._pipe.recv_bytes_into(values.data.cast("B"))
        return Decoded(values, rows, failures, damages)


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """What starts here never sees Ctrl-C, which reaches all processes of a terminal.

    Its parent ends it. This process sees what came in the meantime afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(
    pipe: Connection,
    decoder: Decoder,
    jobs: Sequence[Job],
    given_up: Mapping[tuple[str, int], str],
    at: MutableSequence[float],
) -> None:
    """A worker's life: decodes its jobs, some ahead of what was sent."""
    # Where the model computes on the same cores, it goes first: its threads wait for
    # one another, and each of them that had to wait for a worker would stop all.
    os.nice(_NICE)
    results: queue.Queue[Decoded | Exception | None] = queue.Queue(_AHEAD)
    sender = threading.Thread(target=_send, args=(pipe, results), daemon=True)
    sender.start()

    def begin(item: int) -> None:
        at[2] = 0
        at[1] = item
        at[2] = time.monotonic()

    for number, job in enumerate(jobs):
        at[2] = 0
        at[0] = number
        try:
            result: Decoded | Exception = decoder(job, begin, given_up)
        except FileSystemFailure as error:
            result = error
        at[2] = 0
        results.put(result)
        if isinstance(result, Exception):
            break
    results.put(None)
    sender.join()


def _send(pipe: Connection, results: queue.Queue[Decoded | Exception | None]) -> None:
    try:
        while (result := results.get()) is not None:
            if isinstance(result, Exception):
                pipe.send(result)
                continue
            values = result.values
            shape = None if values is None else (values.shape, values.dtype.str)
            pipe.send((result.rows, result.failures, result.damages, shape))
            if values is not None:
                pipe.send_bytes(values.data.cast("B"))
    except OSError:
        os._exit(0)  # nobody reads any more
