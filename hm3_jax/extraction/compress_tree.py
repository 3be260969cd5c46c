"""Compresses all videos below a folder, several at a time; can be continued."""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from hm3_jax.data.raw_sources.common import files_below
from hm3_jax.extraction.compression import (
    compress_or_copy,
    copy_whole,
)
from hm3_jax.extraction.errors import require_packages
from hm3_jax.extraction.progress import ExtractionProgress
from hm3_jax.files.hidden import new_hidden_name, remove_leftovers

SECONDS_PER_FILE = 3600.0
"""A worker that takes longer for one video is ended."""

_LOOK = 0.5  # seconds between looks at workers that say nothing


@dataclasses.dataclass(frozen=True, slots=True)
class Compression:
    """One file to compress.

    Attributes:
        name: Its path below either folder, with / between folders.
        source: The file.
        target: What to make of it.
        partial: Where that is written before it is whole.
    """

    name: str
    source: Path
    target: Path
    partial: Path


@dataclasses.dataclass(frozen=True, slots=True)
class _Busy:
    """A worker, what it is at, and when that must be done (monotonic seconds)."""

    worker: BaseProcess
    job: Compression
    until: float


@dataclasses.dataclass(frozen=True, slots=True)
class CompressionReport:
    """What became of the files of a folder.

    Attributes:
        compressed: Number of files compressed.
        there_already: Number of files that an earlier run had done.
        copied: Why files were copied as they are, by path below the folder.
        bytes_before: Size of the compressed files before.
        bytes_after: And after.
    """

    compressed: int
    there_already: int
    copied: dict[str, str]
    bytes_before: int
    bytes_after: int


def compress_tree(
    source: Path,
    target: Path,
    *,
    workers: int | None = None,
    seconds_per_file: float = SECONDS_PER_FILE,
    say: Callable[[str], None] = print,
) -> CompressionReport:
    """Compresses every file below a folder into another of the same shape.

    A file that is in the target already is done: it was written whole. So after an
    interruption the same call continues.

    Args:
        source: Folder of the videos. Hidden files are passed over; all others that
            cannot be compressed are copied as they are.
        target: Folder to fill; may exist.
        workers: Processes, each of which works at one video; None for as many as there
            are processors to use, 0 for none besides this one, where nothing ends a
            decoder that hangs.
        seconds_per_file: What a worker may take for one video, which is copied then.
        say: Takes lines about the progress.

    Returns:
        What became of the files.

    Raises:
        FileNotFoundError: If `source` is no folder.
        ValueError: If there is no file in it, or `target` lies inside it.
        FileSystemFailure: If a video cannot be read.
        OSError: If files cannot be read or written.
        ModuleNotFoundError: If PyAV or Pillow is not installed.
    """
    require_packages("av", "PIL")
    if workers is not None and workers < 0:
        raise ValueError(f"expected 0 or more worker processes, found {workers}")
    jobs = _jobs(source, target)
    todo = [job for job in jobs if not job.target.is_file()]
    for folder in {job.target.parent for job in todo}:
        if folder.is_dir():
            remove_leftovers(folder)
    if workers is None:
        workers = len(os.sched_getaffinity(0))
    workers = min(workers, len(todo))
    progress = ExtractionProgress({"videos": len(todo)}, say)
    done = (
        _in_processes(todo, workers, seconds_per_file) if workers else map(_here, todo)
    )
    copied: dict[str, str] = {}
    compressed: list[Compression] = []
    for job, reason in done:
        if reason is None:
            compressed.append(job)
        else:
            copied[job.name] = reason
        progress.add("videos", 1)
    return CompressionReport(
        compressed=len(compressed),
        there_already=len(jobs) - len(todo),
        copied={job.name: copied[job.name] for job in todo if job.name in copied},
        bytes_before=sum(job.source.stat().st_size for job in compressed),
        bytes_after=sum(job.target.stat().st_size for job in compressed),
    )


def _jobs(source: Path, target: Path) -> list[Compression]:
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: expected a folder of videos, found none")
    if target.resolve().is_relative_to(source.resolve()):
        raise ValueError(
            f"{target}: expected a folder outside {source}, whose videos go there, "
            "found one inside"
        )
    jobs = [
        Compression(
            name.as_posix(),
            source / name,
            target / name,
            new_hidden_name(target / name, "partial"),
        )
        for name in (path.relative_to(source) for path in files_below(source))
    ]
    if not jobs:
        raise ValueError(f"{source}: expected videos, found no file")
    return jobs


def _here(job: Compression) -> tuple[Compression, str | None]:
    return job, compress_or_copy(job.source, job.target, job.partial)


def _in_processes(
    jobs: Sequence[Compression], count: int, seconds: float
) -> Iterator[tuple[Compression, str | None]]:
    """Does jobs in worker processes; yields each with its outcome as it is done."""
    todo = iter(jobs)
    busy: dict[Connection, _Busy] = {}
    try:
        for job in itertools.islice(todo, count):
            _hand_over(job, *_start(), busy, seconds)
        while busy:
            ready = connection.wait(list(busy), timeout=_LOOK)
            late = [pipe for pipe in busy if busy[pipe].until < time.monotonic()]
            for pipe in {*ready, *late}:
                assert isinstance(pipe, Connection)
                worker, job = busy[pipe].worker, busy[pipe].job
                answer, ended = None, None
                if pipe not in ready:
                    ended = (
                        f"its decoder was ended after {seconds:g} s "
                        "(--seconds_per_file allows more)"
                    )
                    worker.kill()
                    worker.join()
                else:
                    try:
                        answer = pipe.recv()
                    except (EOFError, OSError):
                        # A decoder may crash on a damaged file, and its process too.
                        worker.join()
                        ended = f"its decoder crashed (exit code {worker.exitcode})"
                if isinstance(answer, Exception):
                    raise answer
                if ended is not None:
                    answer = ended
                    job.partial.unlink(missing_ok=True)
                    copy_whole(job.source, job.target)
                del busy[pipe]
                following = next(todo, None)
                if following is None or ended is not None:
                    pipe.close()
                if following is not None:
                    free = (worker, pipe) if ended is None else _start()
                    _hand_over(following, *free, busy, seconds)
                yield job, answer
    finally:
        for one in busy.values():
            one.worker.terminate()
            one.worker.join()
            one.job.partial.unlink(missing_ok=True)


def _start() -> tuple[BaseProcess, Connection]:
    # Forking a process that has threads may lock up.
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    worker = processes.Process(target=_work, args=(theirs,), daemon=True)
    worker.start()
    theirs.close()
    return worker, ours


def _hand_over(
    job: Compression,
    worker: BaseProcess,
    pipe: Connection,
    busy: dict[Connection, _Busy],
    seconds: float,
) -> None:
    busy[pipe] = _Busy(worker, job, time.monotonic() + seconds)
    pipe.send(job)


def _work(pipe: Connection) -> None:
    """A worker's life: does one job after another until nobody sends any."""
    # Ctrl-C reaches all processes of a terminal; the parent sees to it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            job = pipe.recv()
            try:
                answer: object = compress_or_copy(job.source, job.target, job.partial)
            except Exception as error:
                answer = error
            pipe.send(answer)
    except (EOFError, ConnectionError):
        pass  # the parent is done, or gone, also before it has read an answer
