"""Disks that fail, files that are damaged: found, named, and nothing else lost."""

import dataclasses
import errno
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.files import file_list, rename
from hm3_jax.learn.saved import arrays, checkpoint, verified_folder
from hm3_jax.learn.saved.checkpoint import Checkpoint
from tests.disks import fill, mounted
from tests.learn.saved.test_checkpoint import FULL, model, parameters, same

FLIPS = 64


def epoch_folder(folder: Path, epoch: int) -> Path:
    return folder / "checkpoints" / "last" / str(epoch)


def save(folder: Path, epoch: int, seed: int = 0) -> None:
    progress = {"epoch": epoch, "best_epoch": None}
    what = dataclasses.replace(FULL, model=model(seed), epoch=epoch, progress=progress)
    checkpoint.save(folder, "last", what)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "try_1"
    for epoch in (3, 4):
        save(folder, epoch, seed=epoch)
    return folder


@pytest.fixture
def copy(two, tmp_path) -> Path:
    return shutil.copytree(two, tmp_path / "copy")


def files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file()]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in files(folder)}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def grow(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


def make_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def restore(file: Path, data: bytes) -> None:
    if file.is_dir():
        file.rmdir()
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage", [Path.unlink, cut, halve, empty, grow, make_a_folder]
)
def test_damage_to_any_file_is_named_and_the_epoch_before_is_used(copy, damage, capfd):
    where = epoch_folder(copy, 4)
    kinds = {file.name.split("-")[0] for file in files(where)}
    assert {"files.json", "meta.json", "_METADATA", "manifest.ocdbt"} <= kinds
    for file in files(where):
        data = file.read_bytes()
        damage(file)
        with pytest.raises(ValueError, match=f"^{file}: damaged: ") as raised:
            checkpoint.load(copy, "last", 4)
        assert "\n" not in str(raised.value)
        assert checkpoint.usable_epochs(copy, "last") == [3]
        assert checkpoint.saved_epochs(copy, "last") == [3, 4]
        assert checkpoint.newest_usable(copy, "last") == (3, [str(raised.value)])
        with pytest.warns(UserWarning, match=f"^{file}: .*; epoch 3 is used$"):
            same(checkpoint.load_model(copy).model.params, parameters(3))
        restore(file, data)
    # Libraries report damage at great length, some of it from other threads.
    assert capfd.readouterr().err == ""
    assert checkpoint.load_model(copy).epoch == 4


def test_every_flipped_bit_is_found(copy):
    where = epoch_folder(copy, 4)
    rng = np.random.default_rng(0)
    for file in files(where):
        data = bytearray(file.read_bytes())
        bits = rng.choice(8 * len(data), min(FLIPS, 8 * len(data)), replace=False)
        for bit in bits.tolist():
            data[bit // 8] ^= 1 << bit % 8
            file.write_bytes(data)
            data[bit // 8] ^= 1 << bit % 8
            assert file_list.damage(where), f"bit {bit} of {file}"
        file.write_bytes(data)
    assert file_list.damage(where) is None


def test_flipped_bits_of_the_list_of_files_are_found(copy):
    # It is what all else is compared with: bits of every kind, at every byte.
    file = epoch_folder(copy, 4) / "files.json"
    data = bytearray(file.read_bytes())
    for bit in range(0, 8 * len(data), 7):
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)
        data[bit // 8] ^= 1 << bit % 8
        assert file_list.damage(file.parent), f"bit {bit}"


def test_without_checksums_flipped_bits_would_be_taken_for_numbers(copy):
    # Why there are checksums at all: should this fail, Orbax has got its own.
    folder = epoch_folder(copy, 4) / "arrays"
    kernel = parameters(4)["text"]["kernel"].tobytes()
    # Which file has it, and how many there are, depends on TensorStore's threads.
    (file,) = [file for file in files(folder) if kernel in file.read_bytes()]
    data = bytearray(file.read_bytes())
    data[data.index(kernel) + 2] ^= 1
    file.write_bytes(data)
    found = arrays.read_arrays(folder)["params"]
    assert not arrays.same_bits(found, parameters(4))


def test_intact_files_that_orbax_cannot_read_are_refused(copy):
    where = epoch_folder(copy, 4)

    def write(to: Path) -> None:
        shutil.copy(where / "meta.json", to)
        (to / "arrays").mkdir()
        (to / "arrays" / "_METADATA").write_text("{}")

    verified_folder.save_folder(where, 0, write, lambda folder: None)
    with pytest.raises(ValueError, match=f"^{where}: cannot be read as a checkp.*: "):
        checkpoint.load(copy, "last", 4)


def test_files_beside_those_saved_do_no_harm(copy):
    (epoch_folder(copy, 4) / ".DS_Store").write_text("left by a file browser")
    assert checkpoint.newest_usable(copy, "last") == (4, [])


def test_only_some_epochs_may_be_of_interest(copy):
    assert checkpoint.newest_usable(copy, "last", among={2, 3}) == (3, [])
    assert checkpoint.newest_usable(copy, "last", among=()) == (None, [])
    (epoch_folder(copy, 4) / "meta.json").unlink()
    assert checkpoint.newest_usable(copy, "last", among=[3]) == (3, [])


def test_if_none_is_good_all_are_named(copy):
    for epoch in (3, 4):
        halve(epoch_folder(copy, epoch) / "meta.json")
    epoch, problems = checkpoint.newest_usable(copy, "last")
    assert epoch is None and len(problems) == 2
    with pytest.raises(ValueError) as raised:
        checkpoint.load_model(copy)
    for epoch in (3, 4):
        assert str(epoch_folder(copy, epoch) / "meta.json") in str(raised.value)


def test_the_last_epoch_does_not_stand_in_for_a_damaged_best_one(copy):
    checkpoint.save(copy, "best", Checkpoint(model(), 1))
    halve(copy / "checkpoints" / "best" / "1" / "meta.json")
    with pytest.raises(ValueError, match="best/1/meta.json: damaged"):
        checkpoint.load_model(copy)


def test_a_folder_that_cannot_be_read_is_damaged(copy, monkeypatch):
    # As with a bad sector: the file is there, and reading it fails.
    def fail(path: Path):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(file_list, "file_facts", fail)
    epoch, problems = checkpoint.newest_usable(copy, "last")
    assert epoch is None
    assert all(problem.endswith("Input/output error") for problem in problems)


# Where a save writes, by the step; each of them may meet a full or broken disk.
STEPS: dict[str, tuple[object, str]] = {
    "arrays": (checkpoint, "write_arrays"),
    "flush": (os, "fsync"),
    "checksums": (verified_folder, "file_facts"),
    "reading back": (checkpoint, "read_arrays"),
    "rename": (rename, "_rename"),
}


def refused(raised: pytest.ExceptionInfo[OSError], path: Path, why: str = "") -> None:
    assert raised.value.filename == str(path)
    said = raised.value.strerror or ""
    assert said.startswith("could not be saved: ")
    assert why in said and "\n" not in said


@pytest.mark.parametrize("number", [28, 5, 30])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("epoch", [5, 4])
def test_a_step_that_fails_leaves_the_epochs_before(
    copy, monkeypatch, step, epoch, number
):
    """A new one and one that is saved again."""
    before, path = bytes_of(copy), epoch_folder(copy, epoch)

    def fail(path: Path, *_):
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(*STEPS[step], fail)
        with pytest.raises(OSError) as raised:
            save(copy, epoch)
    refused(raised, path, os.strerror(number))
    assert raised.value.errno == number
    assert bytes_of(copy) == before
    save(copy, 5, seed=5)
    assert checkpoint.usable_epochs(copy, "last") == [4, 5]


def test_every_flush_may_fail(copy, monkeypatch):
    """Fails the first flush, then the second, ... until the save goes through."""
    before, fsync = bytes_of(copy), os.fsync
    for good in range(100):
        calls = iter(range(100))

        def fail(descriptor: int, good=good, calls=calls):
            if next(calls) == good:
                raise OSError(5, "Input/output error")
            fsync(descriptor)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            try:
                save(copy, 5)
            except OSError as error:
                assert str(epoch_folder(copy, 5)) in str(error)
                assert bytes_of(copy) == before
                assert checkpoint.saved_epochs(copy, "last") == [3, 4]
            else:
                break
    assert good > 10
    assert checkpoint.usable_epochs(copy, "last") == [4, 5]


def test_what_orbax_writes_is_compared_with_what_was_meant(copy, monkeypatch):
    before, write = bytes_of(copy), checkpoint.write_arrays

    def wrong(folder, tree):
        write(folder, {**tree, "params": parameters(9)})

    monkeypatch.setattr(checkpoint, "write_arrays", wrong)
    with pytest.raises(OSError, match="the arrays read back are not those written"):
        save(copy, 5)
    assert bytes_of(copy) == before


def test_a_file_that_changes_before_the_save_counts_is_found(copy, monkeypatch):
    """As by a write that the disk took and did not keep."""

    def spoil(file: Path):
        if file.stat().st_size > 4000:
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 4
            file.write_bytes(data)

    monkeypatch.setattr(verified_folder, "_drop_from_memory", spoil)
    with pytest.raises(OSError) as raised:
        save(copy, 5)
    refused(raised, epoch_folder(copy, 5), "the arrays read back are not those written")
    assert checkpoint.usable_epochs(copy, "last") == [3, 4]


def test_arrays_are_flushed_here_alone():
    """By TensorStore, saving fails on file systems that cannot flush folders."""
    context = arrays.tensorstore_utils.get_ts_context(use_ocdbt=True)
    assert context["file_io_sync"].to_json() is False


def test_old_epochs_that_cannot_be_deleted_do_not_fail_a_save(copy, monkeypatch):
    def fail(folder: Path):
        raise OSError(5, "Input/output error", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "delete_folder", fail)
        save(copy, 5)
    assert checkpoint.usable_epochs(copy, "last") == [3, 4, 5]
    save(copy, 6)
    assert checkpoint.usable_epochs(copy, "last") == [5, 6]


SAVE = """
import resource, sys
from pathlib import Path
from tests.learn.saved.test_checkpoint_faults import save
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
save(Path(sys.argv[1]), 5)
"""


def test_files_that_may_not_grow(copy, repository):
    """A write error from the kernel itself, where files may have 4 KiB."""
    before = bytes_of(copy)
    done = subprocess.run(
        [sys.executable, "-c", SAVE, copy],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last_line = done.stderr.splitlines()[-1]
    assert last_line == (
        f"OSError: [Errno {errno.EFBIG}] could not be saved: File too large: "
        f"'{epoch_folder(copy, 5)}'"
    )
    assert bytes_of(copy) == before


@pytest.mark.parametrize("free", [0, 4096, 12288, 20480, 28672])
@pytest.mark.parametrize("foreseen", [True, False])
# What TensorStore has begun to write when it fails ends after Orbax stopped listening.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk(two, tmp_path, free, foreseen, monkeypatch, capfd):
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=1m", "tmpfs", disk):
        folder = shutil.copytree(two, disk / "try_1")
        before = bytes_of(folder)
        fill(disk, free)
        with monkeypatch.context() as patched:
            if not foreseen:  # as when another process takes what was free
                patched.setattr(verified_folder, "_check_space", lambda *_: None)
            with pytest.raises(OSError, match="No space left on device") as raised:
                save(folder, 5)
        refused(raised, epoch_folder(folder, 5))
        assert raised.value.errno == errno.ENOSPC
        assert capfd.readouterr().err == ""
        assert bytes_of(folder) == before
        (disk / "ballast").unlink()
        save(folder, 5)
        assert checkpoint.usable_epochs(folder, "last") == [4, 5]
        assert list(epoch_folder(folder, 5).parent.glob(".*")) == []


def test_a_folder_that_may_only_be_read(two, tmp_path):
    """A file system, as the rights of a folder do not bind root."""
    folder = shutil.copytree(two, tmp_path / "try_1")
    before = bytes_of(folder)
    with mounted("--bind", folder, folder):
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        with pytest.raises(OSError, match="Read-only file system") as raised:
            save(folder, 5)
        refused(raised, epoch_folder(folder, 5))
        assert checkpoint.load_model(folder).epoch == 4
    assert bytes_of(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="the rights of a folder do not bind root")
def test_a_folder_without_the_right_to_write(copy):
    slot = epoch_folder(copy, 5).parent
    slot.chmod(0o555)
    try:
        with pytest.raises(OSError, match="Permission denied"):
            save(copy, 5)
    finally:
        slot.chmod(0o755)
    assert checkpoint.usable_epochs(copy, "last") == [3, 4]


@pytest.mark.parametrize("text", ['{"format_version": 1}', "[]", "[" * 100_000])
def test_intact_facts_of_another_form_are_named(copy, text):
    """As somebody else's program, or a hostile one, writes them: checksums fit."""
    where = epoch_folder(copy, 4)

    def write(to: Path) -> None:
        shutil.copytree(where / "arrays", to / "arrays")
        (to / "meta.json").write_text(text)

    verified_folder.save_folder(where, 0, write, lambda folder: None)
    with pytest.raises(ValueError, match="/4/meta.json: expected .*, found ") as raised:
        checkpoint.load(copy, "last", 4)
    assert "\n" not in str(raised.value)


def test_what_orbax_says_after_ctrl_c_is_not_shown(caplog):
    """Its threads go on writing, into a folder that is removed."""
    absl = logging.getLogger("absl")
    before = list(absl.filters)

    def complain() -> int:
        where = "/site-packages/orbax/checkpoint/future.py"
        said = logging.LogRecord("absl", logging.ERROR, where, 1, "failed", (), None)
        absl.handle(said)
        return len(caplog.records)

    with arrays._silent_orbax():
        assert complain() == 0
    assert absl.filters == before
    asyncio_filters = list(logging.getLogger("asyncio").filters)
    try:
        with pytest.raises(KeyboardInterrupt), arrays._silent_orbax():
            raise KeyboardInterrupt
        assert complain() == 0
    finally:
        absl.filters[:] = before
        logging.getLogger("asyncio").filters[:] = asyncio_filters
