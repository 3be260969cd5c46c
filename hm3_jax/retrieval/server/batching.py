"""Requests that come in at about the same time are carried out together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

_Ask = TypeVar("_Ask")
_Answer = TypeVar("_Answer")
_Entry = tuple[_Ask, asyncio.Future[_Answer]]
_LOG = logging.getLogger(__name__)


class QueueFullError(Exception):
    """More requests wait than may."""


class BatcherStoppedError(Exception):
    """The queue is not served any more, because serving it has failed."""


class Batcher(Generic[_Ask, _Answer]):
    """A queue before a function that does many things in little more time than one.

    The function runs in a thread of its own, one call at a time, so the event loop
    stays free and what it uses (an accelerator) is used by one thread only.
    """

    def __init__(
        self,
        call: Callable[[Sequence[_Ask]], Sequence[_Answer | ValueError]],
        *,
        largest: int,
        wait_seconds: float,
        limit: int,
        seen: Callable[[int], object] = lambda size: None,
    ):
        """Makes an empty queue; `run` serves it.

        Args:
            call: Carries out what was asked; an error in a place is that one's alone.
            largest: Most requests of one call.
            wait_seconds: How long the first request of a call waits for others.
            limit: How many requests may wait.
            seen: Told the size of every call.
        """
        self._call = call
        self._largest = largest
        self._wait_seconds = wait_seconds
        self._seen = seen
        self._queue: asyncio.Queue[_Entry[_Ask, _Answer]] = asyncio.Queue(limit)
        # Of everything that is waited for, in the queue and out of it.
        self._open: set[asyncio.Future[_Answer]] = set()
        self._stopped = False

    @property
    def running(self) -> bool:
        """Whether requests are answered: until `run` ends, for whatever reason."""
        return not self._stopped

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return self._queue.qsize()

    async def ask(self, what: _Ask) -> _Answer:
        """Waits for the answer.

        Raises:
            QueueFullError: If too many wait already.
            StoppedError: If `run` has ended, or ends before there is an answer.
            ValueError: If there is no answer to this.
        """
        if self._stopped:
            raise BatcherStoppedError
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait((what, future))
        except asyncio.QueueFull:
            raise QueueFullError from None
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return await future

    async def run(self) -> None:
        """Serves the queue until cancelled.

        Should that fail, the log says why, and all who wait are told at once.
        """
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="search") as thread:
                while True:
                    await self._carry_out(await self._gather(), thread)
        except asyncio.CancelledError:
            raise
        except BaseException:  # of the call too, which may raise SystemExit
            _LOG.critical("the search has stopped", exc_info=True)
        finally:
            self._stopped = True
            for future in list(self._open):
                if not future.done():
                    future.set_exception(BatcherStoppedError())

    async def _carry_out(
        self, batch: Sequence[_Entry[_Ask, _Answer]], thread: ThreadPoolExecutor
    ) -> None:
        self._seen(len(batch))
        asked = [what for what, _ in batch]
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(thread, self._call, asked)
            if len(answers) != len(batch):
                raise RuntimeError(
                    f"expected {len(batch)} answers of the search, found {len(answers)}"
                )
        except Exception as error:
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # whoever asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _gather(self) -> list[_Entry[_Ask, _Answer]]:
        batch = []
        while not batch:
            entries = await self._entries()
            batch = [entry for entry in entries if not entry[1].done()]
        return batch

    async def _entries(self) -> list[_Entry[_Ask, _Answer]]:
        batch = [await self._queue.get()]
        loop = asyncio.get_running_loop()
        until = loop.time() + self._wait_seconds
        while len(batch) < self._largest:
            try:
                batch.append(self._queue.get_nowait())
                continue
            except asyncio.QueueEmpty:
                remaining = until - loop.time()
            if remaining <= 0:
                break
            try:
                batch.append(await asyncio.wait_for(self._queue.get(), remaining))
            except TimeoutError:
                break
        return batch
