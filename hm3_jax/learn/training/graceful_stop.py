"""A clean end on SIGTERM, or on SIGUSR1, which schedulers send ahead of time."""

import os
import signal
import socket
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class GracefulStop:
    """Notes that the process was asked to end, and makes sure that it does.

        with GracefulStop(grace_seconds=60) as stop:
            for epoch in ...:
                ...
                stop.saved = f"epoch {epoch} in {folder}"
                if stop.requested:
                    break

    If the block has not ended `grace_seconds` after the signal, for example because a
    step or a compilation takes longer, the process says what is saved and ends at once,
    with exit code 0: at any moment, a checkpoint is either complete or absent.

    Ctrl-C raises KeyboardInterrupt as ever. With `jax.distributed`, enter the block
    after `initialize`, which may take SIGTERM for itself.

    Attributes:
        saved: what a later run could continue from, for the last line; None if nothing
            was said.
    """

    def __init__(self, *, grace_seconds: float):
        """Installs nothing yet.

        Args:
            grace_seconds: from the signal to the end by force; at least 0.

        Raises:
            ValueError: it is negative, or no number.
        """
        if not grace_seconds >= 0:
            raise ValueError(
                f"expected seconds of grace of at least 0, found {grace_seconds}"
            )
        self.saved: str | None = None
        self._grace = grace_seconds
        self._requested = threading.Event()
        self._ended = threading.Event()
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether the process was asked to end."""
        return self._requested.is_set()

    def __enter__(self) -> "GracefulStop":
        """Installs the handlers.

        Raises:
            ValueError: this is not the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("signals can only be waited for in the main thread")
        # Python runs handlers in the main thread between two of its own instructions,
        # so not before a long step on the device ends. The kernel's part of a handler
        # runs at once, and writes the number of the signal to this socket.
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._old_wakeup = signal.set_wakeup_fd(
            self._writer.fileno(), warn_on_full_buffer=False
        )
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        self._watcher = threading.Thread(
            target=self._watch, name="GracefulStop", daemon=True
        )
        self._watcher.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Puts back the handlers that were there."""
        self._ended.set()
        for number, handler in self._before.items():
            # None stands for one that was not installed from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._old_wakeup)
        self._writer.close()
        self._watcher.join()
        self._reader.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested.set()

    def _watch(self) -> None:
        while True:
            numbers = self._reader.recv(64)
            if not numbers:  # closed, the block has ended
                return
            asked = [number for number in numbers if number in _SIGNALS]
            if asked:
                break
        self._requested.set()
        if not self._ended.wait(self._grace):
            name = signal.Signals(asked[0]).name
            saved = self.saved or "what was saved before"
            line = (
                f"stopped by {name} after {self._grace:g} s of grace; {saved} is "
                "complete, --resume continues from there\n"
            )
            # Not print: another thread may hold what print would wait for.
            os.write(sys.stderr.fileno(), line.encode())
            os._exit(0)
