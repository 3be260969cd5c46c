"""Commands as forks of a process that has imported what they need."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import gc
import importlib
import os
import pkgutil
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hm3_jax

# Imported by commands when they are needed, which takes them most of their time.
_LIBRARIES = (
    "array_record.python.array_record_module",
    "av",
    "jax.experimental.multihost_utils",
    "jinja2",
    "open_clip",
    "orbax.checkpoint",
    "pyarrow.parquet",
    "safetensors.numpy",
    "scipy.stats",
    "tensorstore",
    "torch",
    "yaml",
)
# These define flags, and two commands' flags may have one name.
_WITH_FLAGS = ("hm3_jax.cli",)
_OPERATIONS = frozenset(
    "open os.listdir os.mkdir os.remove os.rename os.rmdir os.scandir os.link "
    "os.truncate shutil.rmtree shutil.move".split()
)
_HEARD = {signal.SIGINT, signal.SIGTERM}
# Seconds after which a command hangs.
LIMIT = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class Blow:
    """Signals that a command gets, and when.

    Attributes:
        signals: Sent one after the other.
        moment: The operation on files before which they are sent, from 0; or seconds
            from the start.
    """

    signals: tuple[signal.Signals, ...]
    moment: int | float

    def __str__(self) -> str:
        """Says what happens in a few words."""
        names = " and ".join(sent.name for sent in self.signals)
        if isinstance(self.moment, int):
            return f"{names} before operation {self.moment}"
        return f"{names} after {self.moment:.2f} s"


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code, or the negative number of the signal that ended it.
        out: What it wrote to stdout.
        err: What it wrote to stderr.
        seconds: How long it took.
        operations: On files below its folder; 0 if it was killed.
        hung: Whether it had to be ended.
        struck: Whether it got all of a blow's signals.
    """

    code: int
    out: str
    err: str
    seconds: float
    operations: int
    hung: bool
    struck: bool

    @property
    def has_traceback(self) -> bool:
        """Whether it ended with an error that nobody has foreseen."""
        return "Traceback" in self.err or "(--debug shows where)" in self.err


def prepare() -> None:
    """Imports what commands need into this process.

    Nothing of it may start a thread or JAX's backend: neither survives a fork.
    """
    for found in pkgutil.walk_packages(hm3_jax.__path__, "hm3_jax."):
        is_entry = found.name.count(".") == 1 and not found.ispkg
        if not (is_entry or found.name.endswith("__main__")) and not (
            found.name.startswith(_WITH_FLAGS)
        ):
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(found.name)
    for name in _LIBRARIES:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    # Objects that no collection looks at are not copied by forks.
    gc.freeze()


def run(
    module: str, flags: Sequence[str], folder: Path, blow: Blow | None = None
) -> Ended:
    """Runs `python -m hm3_jax.MODULE FLAG ...` in a folder, and waits for its end."""
    start = time.perf_counter()
    logs = [folder.parent / f"{folder.name}.{kind}" for kind in ("out", "err")]
    reader, writer = os.pipe()
    # Until it is the command, a blow is none of the command's.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
    child = os.fork()
    if child == 0:
        os.close(reader)
        _become(module, flags, folder, logs, writer, blow)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
    os.close(writer)
    status, hung, struck = _wait(child, start, blow)
    seconds = time.perf_counter() - start
    said = os.read(reader, 64)
    os.close(reader)
    return Ended(
        code=os.waitstatus_to_exitcode(status),
        out=logs[0].read_text(errors="replace"),
        err=logs[1].read_text(errors="replace"),
        seconds=seconds,
        operations=int(said or 0),
        hung=hung,
        struck=struck,
    )


def _wait(child: int, start: float, blow: Blow | None) -> tuple[int, bool, bool]:
    """Sends what comes by the clock or after a stop; status, if hung, if all came."""
    left = [] if blow is None else list(blow.signals)
    if blow is not None and isinstance(blow.moment, int) and left:
        del left[0]  # sent by the command to itself
        due = None
    else:
        due = None if blow is None else start + blow.moment
    while True:
        found, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
        now = time.perf_counter()
        if found and not os.WIFSTOPPED(status):
            return status, False, not left
        if (found and left) or (due is not None and left and now >= due):
            os.kill(child, left.pop(0))
            due = now + 0.02 if left else None
        if now - start > LIMIT:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1], True, not left
        time.sleep(0.002)


def _become(
    module: str,
    flags: Sequence[str],
    folder: Path,
    logs: Sequence[Path],
    report: int,
    blow: Blow | None,
) -> NoReturn:
    code = 70
    try:
        os.setsid()
        # A shell may have had this process ignore Ctrl-C, as one in the background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(folder)
        files = [os.open(os.devnull, os.O_RDONLY)]
        files += [os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for log in logs]
        for number, descriptor in enumerate(files):
            os.dup2(descriptor, number)
        sys.argv = [module, *flags]
        count = _counted(folder, blow)
        code = _code_of(module)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os.write(report, str(count[0]).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _code_of(module: str) -> int:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        runpy.run_module(f"hm3_jax.{module}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Commands turn it into a line once they run: this one was still being loaded.
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _counted(folder: Path, blow: Blow | None) -> list[int]:
    """Counts operations on files below a folder from now on, and deals a blow."""
    count = [0]
    moment = None
    if blow is not None and isinstance(blow.moment, int):
        moment = blow.moment

    def watch(event: str, arguments: tuple) -> None:
        if event not in _OPERATIONS or not arguments:
            return
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.path.join(folder, os.fsdecode(path))
        if not name.startswith(str(folder)):
            return
        count[0] += 1
        if count[0] - 1 == moment and blow is not None:
            os.kill(os.getpid(), blow.signals[0])

    sys.addaudithook(watch)
    return count
