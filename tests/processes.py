"""Commands run as several processes that form one program, over loopback."""

import dataclasses
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# Below those that Linux gives to outgoing connections, which might take one meanwhile.
_PORTS = range(20_000, 32_000)
# Seconds after which something hangs.
_LIMIT = 240.0


@dataclasses.dataclass(frozen=True)
class Said:
    """How a process ended.

    Attributes:
        code: its exit code.
        out: what it wrote to stdout.
        err: what it wrote to stderr.
    """

    code: int
    out: str
    err: str


@dataclasses.dataclass(frozen=True)
class Together:
    """Running processes, in the order of their numbers."""

    processes: Sequence[subprocess.Popen]
    files: Sequence[tuple[Path, Path]]

    def wait(self) -> list[Said]:
        """Waits until all have ended."""
        until = time.monotonic() + _LIMIT
        for process in self.processes:
            process.wait(timeout=max(until - time.monotonic(), 0.01))
        return [
            Said(process.returncode, out.read_text(), err.read_text())
            for process, (out, err) in zip(self.processes, self.files, strict=True)
        ]

    def wait_until(self, so: Callable[[], bool]) -> None:
        """Waits until something is so, while all processes run."""
        until = time.monotonic() + _LIMIT
        while not so():
            said = [err.read_text() for _, err in self.files]
            assert all(process.poll() is None for process in self.processes), said
            assert time.monotonic() < until, said
            time.sleep(0.005)


@contextmanager
def together(
    count: int,
    command: Sequence[str | Path],
    folder: Path,
    environment: dict[str, str] | None = None,
) -> Iterator[Together]:
    """Starts a command several times, and kills what is left of it at the end.

    Args:
        count: of the processes; one gets no flags of its own.
        command: for `python`; the flags that tell the processes apart are added.
        folder: they run there, and their output is kept there.
        environment: variables besides the test's own.
    """
    address = f"127.0.0.1:{free_port()}"
    variables = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        **(environment or {}),
    }
    processes, files = [], []
    try:
        for number in range(count):
            flags = [
                f"--coordinator_address={address}",
                f"--num_processes={count}",
                f"--process_id={number}",
            ]
            names = [folder / f"process_{number}.{kind}" for kind in ("out", "err")]
            with names[0].open("w") as out, names[1].open("w") as err:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, *command, *(flags if count > 1 else [])],
                        cwd=folder,
                        env=variables,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=err,
                    )
                )
            files.append((names[0], names[1]))
        yield Together(processes, files)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as s:
            try:
                s.bind(("", port))
            except OSError:
                continue
            return port
