"""What compiled libraries print, kept from the terminal where it is noise.

JAX's coordination of processes ends a process by `abort`, with pages of text and a
stack trace, once it finds that another one is gone; nothing in Python can catch that.
Here the process's streams are led through a pipe, lines of that kind are left out, and
what comes after them is decided in Python.
"""

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from collections.abc import Callable

# Of a line logged by XLA: severity, then file and line.
_LOGGED = re.compile(rb"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ([\w./-]+):\d+\]")
_COORDINATION = re.compile(rb"(.*/)?(coordination_\w+\.cc|client\.h)")
_CHATTER = b"[Gloo] Rank "
# Seconds that what was written last gets on its way out.
_DRAIN = 2.0

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


class NativeOutput:
    """Stdout and stderr of compiled code, passed on to stderr without the noise.

    Python's own `sys.stdout` and `sys.stderr` go where they went, without a detour.

    Attributes:
      fatal: whether JAX's coordination has said that it ends this process.
    """

    def __init__(self, lost: Callable[[], None]):
        """Leads the streams through a pipe until `close`.

        Args:
          lost: called, in any thread, instead of the process's `abort` where JAX's
            coordination is behind it; is to end the process.
        """
        self.fatal = False
        self._lost = lost
        self._streams = sys.stdout, sys.stderr
        for stream in self._streams:
            stream.flush()
        self._kept = os.dup(1), os.dup(2)
        sys.stdout, sys.stderr = (
            os.fdopen(os.dup(kept), "w", buffering=1, encoding=stream.encoding)
            for kept, stream in zip(self._kept, self._streams, strict=True)
        )
        self._reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        os.close(writer)
        self._thread = threading.Thread(
            target=self._pass_on, name="NativeOutput", daemon=True
        )
        self._thread.start()
        # Python's own handlers run too late: abort has ended the process by then.
        self._handler = _Handler(self._aborted)
        _libc().signal(signal.SIGABRT, self._handler)

    def close(self) -> None:
        """Puts the streams back and waits until everything is passed on."""
        _libc().signal(signal.SIGABRT, _Handler())
        self.drain()
        ours = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._streams
        for stream in ours:
            stream.close()

    def drain(self) -> None:
        """Ends the detour; what was written before comes out first."""
        for number, kept in enumerate(self._kept, start=1):
            os.dup2(kept, number)  # the last of the pipe's writing ends
        self._thread.join(_DRAIN)

    def _aborted(self, number: int) -> None:
        self.drain()
        if self.fatal:
            self._lost()
        _libc().signal(number, _Handler())  # something else: abort goes on

    def _pass_on(self) -> None:
        noise = False
        with os.fdopen(self._reader, "rb") as lines:
            for line in lines:
                logged = _LOGGED.match(line)
                if logged:
                    severity, file = logged.groups()
                    noise = _COORDINATION.fullmatch(file) is not None
                    self.fatal |= noise and severity == b"F"
                if not noise and not line.startswith(_CHATTER):
                    with contextlib.suppress(OSError):
                        os.write(self._kept[1], line)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = [ctypes.c_int, _Handler]
    libc.signal.restype = ctypes.c_void_p
    return libc
