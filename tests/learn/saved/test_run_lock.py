"""A run's folder has one process at a time, and no lock outlives its process."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hm3_jax.learn.saved.run_lock import run_lock

HOLD = """
import subprocess, sys, time
from pathlib import Path
from hm3_jax.learn.saved.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    {before}
    print("held", flush=True)
    time.sleep(60)
"""


def hold(
    folder: Path, repository: Path, before: str = "pass"
) -> tuple[subprocess.Popen, list[str]]:
    """Starts a process that holds the lock; also returns what it printed before."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(before=before), folder],
        cwd=repository,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        if line == "held\n":
            return process, printed
        printed.append(line)
    raise AssertionError("the lock could not be had")


def end(process: subprocess.Popen, how: int = signal.SIGKILL) -> None:
    process.send_signal(how)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_the_second_process_is_refused_until_the_first_is_killed(tmp_path, repository):
    folder = tmp_path / "runs" / "run"
    process, _ = hold(folder, repository)
    wanted = f"^{folder}: .* found {process.pid} on {socket.gethostname()} since 20"
    for _ in range(2):
        with pytest.raises(FileExistsError, match=wanted), run_lock(folder):
            pass
    end(process)
    with run_lock(folder):
        assert json.loads((folder / ".lock").read_text())["pid"] == os.getpid()


def test_nothing_is_left_behind(tmp_path):
    with run_lock(tmp_path), pytest.raises(FileExistsError), run_lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), run_lock(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_folders_are_locked_one_by_one(tmp_path):
    with run_lock(tmp_path / "a"), run_lock(tmp_path / "b"):
        pass


@pytest.mark.parametrize(
    "child",
    [
        # With exec, told to inherit what it may.
        "print(subprocess.Popen(['sleep', '60'], close_fds=False).pid, flush=True)",
        # The parent may be ahead of its child, and waits for it.
        "import os; there = os.pipe(); child = os.fork(); "
        "child or (os.write(there[1], b'.'), time.sleep(60)); "
        "os.read(there[0], 1); print(child, flush=True)",
    ],
)
def test_children_do_not_keep_the_lock_of_a_killed_parent(tmp_path, repository, child):
    process, printed = hold(tmp_path, repository, child)
    pid = int(printed[0])
    try:
        with pytest.raises(FileExistsError), run_lock(tmp_path):
            pass
        end(process)
        os.kill(pid, 0)  # is still there
        with run_lock(tmp_path):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_file_without_an_owner_is_no_lock(tmp_path):
    (tmp_path / ".lock").write_text('{"pid": 1, "host": "gone", "since": "long ago"}')
    with run_lock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "[]", "{", "{}"])
def test_a_holder_that_has_not_said_who_it_is_still_holds(tmp_path, text):
    (tmp_path / ".lock").write_text(text)
    with (tmp_path / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FileExistsError, match="just begun"), run_lock(tmp_path):
            pass


def test_never_two_at_once(tmp_path):
    """Threads that take, delete and take again: the lock is of files, not processes."""
    inside, most, taken = [0], [0], [0]

    def work() -> None:
        while taken[0] < 200:
            try:
                with run_lock(tmp_path):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    taken[0] += 1
                    time.sleep(1e-4)
                    inside[0] -= 1
            except FileExistsError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    assert taken[0] >= 200


def test_a_file_system_without_locks_is_warned_about(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.warns(UserWarning, match=f"{tmp_path}: this file system has no lo"):
        with run_lock(tmp_path):
            pass


def test_other_faults_of_the_disk_are_raised(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output"), run_lock(tmp_path):
        pass
