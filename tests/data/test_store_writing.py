"""A store is whole or absent, and is written without holding all museums."""

import dataclasses
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from hm3_jax.data.store import open_store
from hm3_jax.data.verify import verify_store
from tests.data.museum_sets import contents, museums, write

REPOSITORY = Path(__file__).parents[2]
REPORT = "extraction_report.json"

# Writes museums until it is stopped, and says when it has begun.
ENDLESS = """
import dataclasses, itertools, sys
from tests.data.museum_sets import museums, write

def endless():
    for i in itertools.count():
        if i == 1000:
            print("writing", flush=True)
        yield dataclasses.replace(museums(1)[0], id=f"museum-{i}")

write(sys.argv[1], endless())
"""


def partial_folders(folder):
    return [path for path in folder.iterdir() if path.name != "store"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_an_error_while_writing_leaves_nothing(tmp_path, error):
    def interrupted():
        yield from museums(5)
        assert len(partial_folders(tmp_path)) == 1
        raise error

    with pytest.raises(error):
        write(tmp_path / "store", interrupted())
    assert list(tmp_path.iterdir()) == []


def run_endless_writer(path):
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(path)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    return process


def test_ctrl_c_leaves_nothing(tmp_path):
    process = run_endless_writer(tmp_path / "store")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_no_store_and_is_in_nobodys_way(tmp_path):
    process = run_endless_writer(tmp_path / "store")
    process.kill()
    process.communicate(timeout=60)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".store.partial-")
    with pytest.raises(FileNotFoundError):
        open_store(left)
    write(tmp_path / "store")
    assert verify_store(tmp_path / "store") == []
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_an_existing_path_is_refused_and_kept(tmp_path):
    (tmp_path / "store").mkdir()
    with pytest.raises(FileExistsError, match="store: expected a path"):
        write(tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []
    write(tmp_path / "other")
    before = contents(tmp_path / "other")
    with pytest.raises(FileExistsError):
        write(tmp_path / "other", museums(3))
    assert contents(tmp_path / "other") == before


def test_a_path_that_appears_while_writing_is_kept(tmp_path):
    def rival():
        yield from museums()
        (tmp_path / "store").mkdir()

    with pytest.raises(FileExistsError, match="in the meantime"):
        write(tmp_path / "store", rival())
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert list((tmp_path / "store").iterdir()) == []


def test_missing_parents_are_made_and_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a" / "b" / "store")
    finally:
        os.umask(before)
    assert (tmp_path / "a" / "b" / "store").stat().st_mode & 0o777 == 0o750
    open_store(tmp_path / "a" / "b" / "store")


def test_museums_are_let_go_of_as_they_are_written(tmp_path):
    alive: set[int] = set()
    most = 0

    def watched():
        nonlocal most
        for i in range(50):
            (record,) = museums(1, seed=i)
            alive.add(i)
            # A record cannot be watched itself; its features can.
            weakref.finalize(record.sentences, alive.discard, i)
            most = max(most, len(alive))
            yield dataclasses.replace(record, id=f"museum-{i}")

    write(tmp_path / "store", watched())
    assert most <= 2


def test_a_report_is_part_of_the_store(tmp_path):
    write(tmp_path / "store", museums(3), attachments={REPORT: "{}\n"})
    assert (tmp_path / "store" / REPORT).read_text() == "{}\n"
    assert verify_store(tmp_path / "store") == []
    (tmp_path / "store" / REPORT).write_text("[]\n")
    (problem,) = verify_store(tmp_path / "store")
    assert REPORT in problem


def test_other_attachments_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=f"attachments of {REPORT}, .*, found other.txt"
    ):
        write(tmp_path / "store", museums(3), attachments={"other.txt": ""})
    assert list(tmp_path.iterdir()) == []
