"""Reading ahead: worker processes decode files while the model computes.

Worker w of n decodes every n-th job from the w-th on and hands the results over
through a pipe, whose reader takes them from the workers in turns. So results come in
the order of the jobs, and nothing depends on the number of workers. A worker ends
when nobody reads its pipe any more, even if its parent was killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hm3_jax.extraction.errors import UnreadableInput, first_line
from hm3_jax.extraction.pictures import open_picture
from hm3_jax.extraction.videos import map_frames

if TYPE_CHECKING:
    from PIL.Image import Image

# Files that a worker decodes before it hands them over: large enough to make the
# hand-over cheap, small enough for a few to lie in memory for every worker.
_FILES = {"pictures": 16, "videos": 1}
_AHEAD = 2  # decoded jobs of a worker that wait to be sent

# Below this many pictures and frames, starting a process takes longer than it saves.
_WORTH_A_PROCESS = 64
_MOST = 32
_NICE = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """Some neighbouring items of one chunk.

    Attributes:
        kind: "pictures" or "videos".
        start: Number of the first item.
        files: The items' files, relative to the input root.
    """

    kind: str
    start: int
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded:
    """What the model takes of a job's items.

    Attributes:
        values: (rows, 3, height, width) float32 pixels of pictures and frames, of the
            items that could be read, one after another; None where none could.
        rows: Rows of each item; 0 where it could not be read.
        failures: Why items could not be read, by item number.
    """

    values: np.ndarray | None
    rows: tuple[int, ...]
    failures: Mapping[int, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Decoder:
    """Turns jobs into arrays; goes to worker processes, so it holds no model.

    Attributes:
        root: Folder that files are named from.
        transform: A picture -> (3, height, width) float32.
        frames_per_second: Frames taken from a second of video.
        max_frames: Most frames of a video, evenly spread; 1 for its first.
    """

    root: Path
    transform: Callable[[Image], np.ndarray]
    frames_per_second: float
    max_frames: int

    def __call__(self, job: Job) -> Decoded:
        """Reads a job's files; what cannot be read is left out and said why.

        Raises:
            OSError: The file system failed, which is no fault of a file's content.
        """
        values: list[np.ndarray] = []
        rows: list[int] = []
        failures: dict[int, str] = {}
        for number, name in enumerate(job.files, job.start):
            path = self.root / name
            try:
                pixels = self._pixels(job.kind, path)
            except UnreadableInput as error:
                failures[number] = error.reason
            except (OSError, MemoryError) as error:
                raise OSError(f"{path}: {first_line(error)}") from error
            except Exception as error:
                # Decoders fail on damaged files in ways that nobody has listed, and
                # a run of days must not end at one of them.
                failures[number] = f"{type(error).__name__}: {first_line(error)}"
            else:
                values.extend(pixels)
            rows.append(0 if number in failures else len(pixels))
        stacked = np.stack(values) if values else None
        return Decoded(stacked, tuple(rows), failures)

    def _pixels(self, kind: str, path: Path) -> list[np.ndarray]:
        if kind == "pictures":
            return [self.transform(open_picture(path))]
        return map_frames(
            path,
            self.transform,
            frames_per_second=self.frames_per_second,
            max_frames=self.max_frames,
        )


def jobs_of(kind: str, start: int, files: Sequence[str]) -> list[Job]:
    """Cuts the files of a chunk into jobs; `start` is the number of the first."""
    size = _FILES[kind]
    return [
        Job(kind, start + first, tuple(files[first : first + size]))
        for first in range(0, len(files), size)
    ]


def worker_count(asked: int | None, pictures: int) -> int:
    """Number of worker processes.

    Args:
        asked: What the user wants, or None for the number that suits the work.
        pictures: Pictures and frames to decode.
    """
    if asked is not None:
        return asked
    if pictures < _WORTH_A_PROCESS:
        return 0
    return min(len(os.sched_getaffinity(0)), _MOST)


@contextlib.contextmanager
def decoded(
    jobs: Sequence[Job], decoder: Decoder, workers: int
) -> Iterator[Iterator[Decoded]]:
    """Decodes jobs, in order, ahead of whoever takes the results.

    Args:
        jobs: The jobs.
        decoder: What decodes them.
        workers: Processes; 0 decodes each job when it is asked for.

    Returns:
        A context with the iterator of the results, which raises RuntimeError if a
        worker could not go on. Leaving the context ends the workers.
    """
    if workers == 0:
        yield map(decoder, jobs)
        return
    # Forking a process that has threads, as PyTorch has, may lock up.
    processes = multiprocessing.get_context("spawn")
    # Started with the first worker, it would undo what blocks interrupts.
    resource_tracker.ensure_running()
    started: list[tuple[BaseProcess, Connection]] = []
    try:
        for first in range(min(workers, len(jobs))):
            reader, writer = processes.Pipe(duplex=False)
            worker = processes.Process(
                target=_work, args=(writer, decoder, jobs[first::workers]), daemon=True
            )
            with _interrupts_blocked():
                worker.start()
            # Only the worker may hold it, or its end would go unnoticed.
            writer.close()
            started.append((worker, reader))
        yield (_receive(*started[i % workers], job) for i, job in enumerate(jobs))
    finally:
        for worker, reader in started:
            reader.close()
            worker.terminate()
        for worker, _ in started:
            worker.join()


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


def _work(pipe: Connection, decoder: Decoder, jobs: Sequence[Job]) -> None:
    """A worker's life: decodes its jobs, some ahead of what was sent."""
    # Where the model computes on the same cores, it goes first: its threads wait for
    # one another, and each of them that had to wait for a worker would stop all.
    os.nice(_NICE)
    results: queue.Queue[Decoded | OSError | None] = queue.Queue(_AHEAD)
    sender = threading.Thread(target=_send, args=(pipe, results), daemon=True)
    sender.start()
    for job in jobs:
        try:
            results.put(decoder(job))
        except OSError as error:
            results.put(error)
            break
    results.put(None)
    sender.join()


def _send(pipe: Connection, results: queue.Queue[Decoded | OSError | None]) -> None:
    try:
        while (result := results.get()) is not None:
            if isinstance(result, OSError):
                pipe.send(str(result))
                continue
            values = result.values
            shape = None if values is None else (values.shape, values.dtype.str)
            pipe.send((result.rows, result.failures, shape))
            if values is not None:
                pipe.send_bytes(values.data.cast("B"))
    except OSError:
        os._exit(0)  # nobody reads any more


def _receive(worker: BaseProcess, pipe: Connection, job: Job) -> Decoded:
    try:
        message = pipe.recv()
        if isinstance(message, str):
            raise RuntimeError(message)
        rows, failures, shape = message
        values = None
        if shape is not None:
            values = np.empty(*shape)
            pipe.recv_bytes_into(values.data.cast("B"))
    except EOFError:
        worker.join()
        raise RuntimeError(
            f"a worker process ended with exit code {worker.exitcode} near "
            f"{job.files[0]} (-9: killed, mostly for want of memory)"
        ) from None
    return Decoded(values, rows, failures)
