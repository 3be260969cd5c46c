"""Commands as forks of a process that has imported what they need."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
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
        operation: The operation on files before which they are sent, from 0; None for
            the start.
        seconds: How much later.
    """

    signals: tuple[signal.Signals, ...]
    operation: int | None
    seconds: float = 0.0

    @property
    def is_own(self) -> bool:
        """Whether the command sends the first one to itself: nothing is in between."""
        return self.operation is not None and self.seconds == 0

    def __str__(self) -> str:
        """Says what happens in a few words."""
        names = " and ".join(sent.name for sent in self.signals)
        if self.is_own:
            return f"{names} before operation {self.operation}"
        since = "the start" if self.operation is None else f"operation {self.operation}"
        return f"{names} {self.seconds:.3f} s after {since}"


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code, or the negative number of the signal that ended it.
        out: What it wrote to stdout.
        err: What it wrote to stderr.
        seconds: How long it took.
        operations: When there were operations on files below its folder, seconds from
            the start; none if it was killed.
        first_write: Number of the first of them that changes something.
        hung: Whether it had to be ended.
        struck: Whether it got all of a blow's signals.
    """

    code: int
    out: str
    err: str
    seconds: float
    operations: Sequence[float]
    first_write: int
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


class Running:
    """A command that has been started, `python -m hm3_jax.MODULE FLAG ...`."""

    def __init__(
        self,
        module: str,
        flags: Sequence[str],
        folder: Path,
        blow: Blow | None = None,
        name: str = "command",
    ):
        """Starts it.

        Args:
            module: Of the package.
            flags: Its flags.
            folder: Where it runs.
            blow: What it gets while `end` waits for it.
            name: Of the files beside the folder with what it says.
        """
        self._logs = [folder.parent / f"{name}.{kind}" for kind in ("out", "err")]
        self._operations = folder.parent / f"{name}.operations"
        for file in (*self._logs, self._operations):
            file.unlink(missing_ok=True)
        self._blow = blow
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._start = time.perf_counter()
        # Until it is the command, a blow is none of the command's.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        self.process = os.fork()
        if self.process == 0:
            os.close(self._reader)
            watch = _Watch(folder, blow, writer, self._start)
            _become(module, flags, folder, self._logs, watch, self._operations)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        os.close(writer)

    @property
    def out(self) -> str:
        """What it has written to stdout."""
        return _text(self._logs[0])

    def end(self, meanwhile: Callable[[], object] = lambda: None) -> Ended:
        """Waits for its end, and deals the blow.

        Args:
            meanwhile: Called again and again until then.
        """
        status, hung, struck = self._wait(meanwhile)
        seconds = time.perf_counter() - self._start
        os.close(self._reader)
        operations, first_write = [], 0
        if self._operations.is_file():
            first_write, *operations = json.loads(self._operations.read_text())
        return Ended(
            code=os.waitstatus_to_exitcode(status),
            out=self.out,
            err=_text(self._logs[1]),
            seconds=seconds,
            operations=operations,
            first_write=first_write,
            hung=hung,
            struck=struck,
        )

    def _wait(self, meanwhile: Callable[[], object]) -> tuple[int, bool, bool]:
        """Deals what the command does not; status, whether it hung, and got all."""
        blow = self._blow
        left = [] if blow is None else list(blow.signals)
        due = None
        if blow is not None and blow.is_own:
            del left[0]  # sent by the command to itself
        elif blow is not None and blow.operation is None:
            due = self._start + blow.seconds
        awaits_mark = due is None and blow is not None and not blow.is_own
        while True:
            found, status = os.waitpid(self.process, os.WNOHANG | os.WUNTRACED)
            now = time.perf_counter()
            if found and not os.WIFSTOPPED(status):
                return status, False, not left
            if awaits_mark and blow is not None and self._is_marked():
                awaits_mark, due = False, now + blow.seconds
            if (found and left) or (due is not None and left and now >= due):
                os.kill(self.process, left.pop(0))
                due = now + 0.02 if left else None
            if now - self._start > LIMIT:
                os.kill(self.process, signal.SIGKILL)
                return os.waitpid(self.process, 0)[1], True, not left
            meanwhile()
            time.sleep(0.002)

    def _is_marked(self) -> bool:
        try:
            return bool(os.read(self._reader, 1))
        except BlockingIOError:
            return False


def _text(log: Path) -> str:
    """What a command has said, which may have been killed before it could."""
    try:
        return log.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def run(
    module: str, flags: Sequence[str], folder: Path, blow: Blow | None = None
) -> Ended:
    """Runs a command in a folder, and waits for its end."""
    return Running(module, flags, folder, blow).end()


def _become(
    module: str,
    flags: Sequence[str],
    folder: Path,
    logs: Sequence[Path],
    watch: _Watch,
    operations: Path,
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
        sys.addaudithook(watch)
        code = _code_of(module)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        operations.write_text(json.dumps([watch.first_write, *watch.times]))
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


class _Watch:
    """Notes operations on files below a folder; deals a blow or marks its moment."""

    def __init__(self, folder: Path, blow: Blow | None, marks: int, start: float):
        self.times: list[float] = []
        self.first_write = 0
        self._folder, self._blow = str(folder), blow
        self._marks, self._start = marks, start

    def __call__(self, event: str, arguments: tuple) -> None:
        if event not in _OPERATIONS or not arguments:
            return
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return
        if not os.path.join(self._folder, os.fsdecode(path)).startswith(self._folder):
            return
        number = len(self.times)
        self.times.append(time.perf_counter() - self._start)
        if not self.first_write and _changes(event, arguments):
            self.first_write = number
        if self._blow is not None and number == self._blow.operation:
            if self._blow.is_own:
                os.kill(os.getpid(), self._blow.signals[0])
            else:
                os.write(self._marks, b"!")


def _changes(event: str, arguments: tuple) -> bool:
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event not in ("os.listdir", "os.scandir")
