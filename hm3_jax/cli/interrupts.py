"""Ctrl-C ends a command, whatever it is doing at that moment.

KeyboardInterrupt alone does not ensure that. If it is raised in a callback (of the
garbage collector, as JAX has one, of a weak reference, or in `__del__`), Python passes
it to `sys.unraisablehook` and continues as if nothing had happened.
"""

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

EXIT_CODE = 130
# Until an interrupt that was lost is raised again; the callback has ended by then.
_AGAIN_SECONDS = 0.05

_heard = threading.Event()


def end_at_once() -> None:
    """From now on, Ctrl-C ends the process on the spot.

    For commands, and parts of them, that leave nothing to be undone.
    """
    _handle(_end)


def raise_until_seen() -> None:
    """From now on, Ctrl-C raises KeyboardInterrupt, again where a callback loses it."""
    hook = sys.unraisablehook

    def lost(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
        else:
            hook(unraisable)

    sys.unraisablehook = lost
    _handle(_raise)


def heard() -> bool:
    """Whether Ctrl-C has come: a library may have lost it, and failed because of it."""
    return _heard.is_set()


def _handle(handler: Any) -> None:
    # Shells start what runs in the background with SIGINT ignored.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        for number in (signal.SIGINT, signal.SIGALRM):
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    _heard.set()
    signal.default_int_handler(number, frame)


def _end(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(EXIT_CODE)
