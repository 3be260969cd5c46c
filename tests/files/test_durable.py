"""Files and folders: whole or as before, on the disk, and no leftovers of the dead."""

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hm3_jax.files import hidden, rename
from hm3_jax.files.durable import whole_or_absent, whole_or_as_before, write_whole
from hm3_jax.files.flush import sync
from hm3_jax.files.hidden import take_back
from hm3_jax.files.locks import locked


@pytest.fixture(params=["exchange", "two renames"])
def kernel(request, monkeypatch) -> str:
    """Linux, and a kernel that cannot exchange two folders."""
    if request.param == "two renames":
        monkeypatch.setattr(rename, "_renameat2", lambda: None)
    return request.param


@pytest.fixture
def flushed(monkeypatch) -> list[str]:
    """Paths that are flushed, and the renames between, in order."""
    done: list[str] = []
    fsync, replace, rename_new = os.fsync, os.replace, rename._rename

    def flush(descriptor: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def replaced(old: Path, new: Path) -> None:
        done.append(f"rename {new}")
        replace(old, new)

    def renamed(old: Path, new: Path, flags: int) -> bool:
        done.append(f"rename {new}")
        return rename_new(old, new, flags)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(rename, "_rename", renamed)
    return done


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    for name in ("top", "a/middle", "a/b/bottom"):
        (folder / name).write_text(text)


def text_of(folder: Path) -> str:
    return (folder / "a" / "b" / "bottom").read_text()


@pytest.mark.parametrize("make", [whole_or_absent, whole_or_as_before])
def test_everything_at_any_depth_is_flushed_before_it_counts(tmp_path, flushed, make):
    path = tmp_path / "made" / "out"
    with make(path) as folder:
        fill(folder, "x")
        del flushed[:]
    inner = ["", "/top", "/a", "/a/middle", "/a/b", "/a/b/bottom"]
    assert sorted(flushed[:-2]) == sorted(f"{folder}{name}" for name in inner)
    # A folder after what is in it; its new name last.
    places = {name: flushed.index(f"{folder}{name}") for name in inner}
    for name in inner[1:]:
        assert places[name] < places[name.rpartition("/")[0]]
    assert flushed[-2:] == [f"rename {path}", str(path.parent)]


def test_folders_that_are_made_above_are_flushed_too(tmp_path, flushed):
    with whole_or_absent(tmp_path / "a" / "b" / "out"):
        assert flushed == [str(tmp_path), str(tmp_path / "a")]


def test_a_file_is_flushed_and_then_its_name(tmp_path, flushed):
    write_whole(tmp_path / "f", "x")
    partial = tmp_path / ".f.partial"
    assert flushed == [str(partial), f"rename {tmp_path / 'f'}", str(tmp_path)]


def test_a_folder_is_replaced_at_once(tmp_path, kernel):
    for text in ("old", "new"):
        with whole_or_as_before(tmp_path / "out") as folder:
            fill(folder, text)
        assert text_of(tmp_path / "out") == text
        assert names(tmp_path) == ["out"]


def test_whatever_step_fails_what_was_there_survives(tmp_path, kernel, monkeypatch):
    """Fails the first rename or flush, then the second, ... until it goes through."""
    path = tmp_path / "out"
    with whole_or_as_before(path) as folder:
        fill(folder, "old")
    steps = [(os, "fsync"), (os, "rename"), (rename, "_rename")]
    failures = 0
    for good in range(100):
        calls = iter(range(100))

        def failing(step, calls=calls, good=good):
            def call(*arguments):
                if next(calls) == good:
                    raise OSError(errno.EIO, "Input/output error")
                return step(*arguments)

            return call

        with monkeypatch.context() as patched:
            for where, name in steps:
                patched.setattr(where, name, failing(getattr(where, name)))
            try:
                with whole_or_as_before(path) as folder:
                    fill(folder, "new")
            except OSError as error:
                assert error.errno == errno.EIO
                failures += 1
            else:
                break
        assert text_of(path) == "old" and names(tmp_path) == ["out"]
    assert failures >= 7
    assert text_of(path) == "new" and names(tmp_path) == ["out"]


REPLACE = """
import os, sys
from pathlib import Path
from hm3_jax.files import rename
from hm3_jax.files.durable import whole_or_as_before
path, kernel, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
if kernel == "two renames":
    rename._renameat2 = lambda: None
left = [number]
def hook(event, arguments):
    if event in {"os.rename", "os.remove", "os.rmdir"}:
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        left[0] -= 1
sys.addaudithook(hook)
with whole_or_as_before(path) as folder:
    (folder / "text").write_text("new")
"""


def test_a_kill_while_one_is_replaced_loses_nothing(tmp_path, kernel, repository):
    path = tmp_path / "out"
    found = []
    for number in range(10):
        with whole_or_as_before(path) as folder:
            (folder / "text").write_text("old")
        done = subprocess.run(
            [sys.executable, "-c", REPLACE, path, kernel, str(number)],
            cwd=repository,
            check=False,
        )
        if kernel == "exchange":
            assert path.is_dir()  # at every moment
        take_back(tmp_path)
        found.append((path / "text").read_text())
        with whole_or_as_before(path):  # the same again, which fails or not
            assert len(names(tmp_path)) == 2
        assert names(tmp_path) == ["out"]
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert found == sorted(found, reverse=True) and set(found) == {"old", "new"}


MAKE = """
import sys, time
from pathlib import Path
from hm3_jax.files.durable import whole_or_absent
with whole_or_absent(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    print("making", flush=True)
    time.sleep(60)
"""


def start(path: Path, repository: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE, path], cwd=repository, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"making\n"
    return process


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path, repository):
    path = tmp_path / "out"
    others = start(tmp_path / "other", repository)
    end(others)
    dead, living = start(path, repository), start(path, repository)
    try:
        end(dead)
        assert len(names(tmp_path)) == 3
        with whole_or_absent(path):
            pass
        left = names(tmp_path)
        assert len(left) == 3
        assert left[0].startswith(".other.partial-")  # not made again: not ours
        assert left[1].startswith(".out.partial-") and left[2] == "out"
        assert names(tmp_path / left[1]) == ["half"]
    finally:
        end(living)
    with whole_or_as_before(path):
        pass
    assert names(tmp_path)[1:] == ["out"]


def test_names_that_only_look_alike_are_not_touched(tmp_path):
    token = "0123456789abcdef"
    kept = [
        f".out.partial-{token}x/../.out.partial-short",
        f".out2.partial-{token}",
        f".out.copied-{token}",
        f"out.partial-{token}",
        ".out.former",
    ]
    for name in kept:
        (tmp_path / Path(name).name).mkdir()
    (tmp_path / f".out.deleted-{token}").write_text("a file")
    before = names(tmp_path)
    with whole_or_absent(tmp_path / "out"):
        pass
    assert names(tmp_path) == sorted([*before, "out"])


def test_files_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path):
    dead = hidden.new_hidden_name(tmp_path / "out", "partial")
    alive = hidden.new_hidden_name(tmp_path / "out", "partial")
    dead.write_text("half")
    with locked(alive):
        hidden.remove_leftovers(tmp_path, "out")
    assert names(tmp_path) == [alive.name]


def test_leftovers_stay_where_nobody_can_say_whose_they_are(tmp_path, monkeypatch):
    left = tmp_path / ".out.partial-0123456789abcdef"
    left.mkdir()
    no_flock(monkeypatch, errno.ENOLCK)
    with whole_or_absent(tmp_path / "out"):
        pass
    assert names(tmp_path) == [left.name, "out"]
    hidden.remove_leftovers(tmp_path, alone=True)
    assert names(tmp_path) == ["out"]


def no_flock(monkeypatch, number: int) -> None:
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", fail)


@pytest.mark.parametrize(
    "number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOLCK]
)
def test_file_systems_that_cannot_flush_folders_or_lock(
    tmp_path, monkeypatch, kernel, number
):
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    no_flock(monkeypatch, number)
    if number != errno.ENOLCK:  # which is of locks alone
        monkeypatch.setattr(os, "fsync", fail)
    for text in ("old", "new"):
        with whole_or_as_before(tmp_path / "out") as folder:
            fill(folder, text)
        write_whole(tmp_path / "file", text)
    assert text_of(tmp_path / "out") == (tmp_path / "file").read_text() == "new"
    assert names(tmp_path) == ["file", "out"]


def test_flushes_that_fail_name_the_path(tmp_path, monkeypatch):
    (tmp_path / "f").touch()

    def fail(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Invalid argument") as raised:
        sync(tmp_path / "f")
    assert raised.value.filename == str(tmp_path / "f")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_is_as_before(tmp_path, monkeypatch, step):
    path = tmp_path / "f"
    write_whole(path, "old")

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, pytest.raises(OSError) as raised:
        patched.setattr(os, step, fail)
        write_whole(path, "new")
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(path)
    assert path.read_text() == "old" and names(tmp_path) == ["f"]


def test_what_a_kill_left_of_a_file_is_taken_away(tmp_path):
    (tmp_path / ".f.partial").write_text("longer than what is written now")
    write_whole(tmp_path / "f", "new")
    assert names(tmp_path) == ["f"] and (tmp_path / "f").read_text() == "new"


def test_a_link_to_a_folder_stays_one(tmp_path, kernel):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "out").symlink_to(elsewhere / "out")
    for text in ("old", "new"):
        with whole_or_as_before(tmp_path / "out") as folder:
            fill(folder, text)
        assert text_of(elsewhere / "out") == text
    assert names(tmp_path) == ["elsewhere", "out"] and names(elsewhere) == ["out"]
    assert (tmp_path / "out").is_symlink()
    (tmp_path / "free").symlink_to(elsewhere / "none")
    with pytest.raises(FileExistsError, match="free: expected a path"):
        with whole_or_absent(tmp_path / "free"):
            raise AssertionError


def test_a_link_that_takes_a_folder_s_place_meanwhile_leads_nowhere(tmp_path, kernel):
    """Neither what it leads to is changed or removed, nor is the link."""
    out, own = tmp_path / "out", tmp_path / "own"
    for folder in (out, own):
        folder.mkdir()
        fill(folder, "mine")
    with pytest.raises(OSError, match="out"), whole_or_as_before(out) as folder:
        fill(folder, "new")
        out.rename(tmp_path / "moved")
        out.symlink_to(own)
    assert out.is_symlink() and text_of(own) == "mine"
    assert names(tmp_path) == ["moved", "out", "own"]


def test_a_link_in_the_place_of_a_hidden_name_leads_nowhere(tmp_path):
    """Else whoever may write beside a file could have others of its owner emptied."""
    own = tmp_path / "own"
    own.write_text("mine")
    (tmp_path / ".f.partial").symlink_to(own)
    write_whole(tmp_path / "f", "new")
    assert own.read_text() == "mine" and (tmp_path / "f").read_text() == "new"
    assert names(tmp_path) == ["f", "own"] and not (tmp_path / "f").is_symlink()
    (tmp_path / "lock").symlink_to(own)
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "lock"):
        raise AssertionError


def test_modes_are_those_of_other_files_and_folders(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    write_whole(tmp_path / "f", "")
    with whole_or_absent(tmp_path / "out"):
        pass
    modes = {name: (tmp_path / name).stat().st_mode for name in names(tmp_path)}
    assert modes["f"] == modes["file"] and modes["out"] == modes["folder"]


def test_a_path_that_is_taken_meanwhile_is_kept(tmp_path, kernel):
    with pytest.raises(FileExistsError, match="out: made by another process"):
        with whole_or_absent(tmp_path / "out"):
            (tmp_path / "out").mkdir()
    assert names(tmp_path) == ["out"]


def test_the_longest_names(tmp_path):
    path = tmp_path / ("ä" * 127)
    for text in ("old", "new"):
        with whole_or_as_before(path) as folder:
            fill(folder, text)
    write_whole(tmp_path / ("f" * 255), "x")
    assert text_of(path) == "new" and len(names(tmp_path)) == 2


def test_errors_name_the_path_that_users_know(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(FileNotFoundError) as raised, whole_or_absent(path) as folder:
        (folder / "a" / "none").read_text()
    assert raised.value.filename == str(path / "a" / "none")
    with pytest.raises(OSError) as full_disk, whole_or_absent(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full_disk.value.filename == str(path)
    # What is said of no file may be of anything, a network for instance.
    with pytest.raises(ConnectionError) as network, whole_or_absent(path):
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    assert network.value.filename is None
