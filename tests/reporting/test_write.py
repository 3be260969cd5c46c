"""A report is there whole, or what was there before is."""

import errno
import os
from pathlib import Path

import pytest

from hm3_jax.reporting.write import replaced


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(output, text="new", runs=()):
    with replaced(output, runs) as partial:
        (partial / "report.json").write_text(text)


def test_a_report_is_replaced_as_a_whole(tmp_path):
    output = tmp_path / "a" / "b"
    write(output, "old")
    (output / "tables" / "of_the_old_one.md").touch()
    write(output)
    assert names(output) == ["figures", "report.json", "tables"]
    assert (output / "report.json").read_text() == "new"
    assert names(output / "tables") == [] and names(output.parent) == ["b"]


def test_an_empty_folder_and_a_link_are_written_to(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "report.json").read_text() == "new"


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "no space"), ValueError()]
)
def test_an_error_leaves_what_was_there(tmp_path, error):
    output = tmp_path / "out"
    for before in ([], ["out"]):
        with pytest.raises(type(error)), replaced(output, []) as partial:
            (partial / "report.json").write_text("half")
            raise error
        assert names(tmp_path) == before
        write(output, "old")
        assert (output / "report.json").read_text() == "old"


def test_all_of_a_report_is_on_the_disk(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync

    def flush(descriptor: int) -> None:
        flushed.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", flush)
    with replaced(tmp_path / "out", []) as partial:
        (partial / "tables" / "a.md").touch()
        (partial / "figures" / "b.png").touch()
    names_of_all = ["a.md", "tables", "b.png", "figures", partial.name]
    assert sorted(flushed[:-1]) == sorted(names_of_all)
    assert flushed[-1] == tmp_path.name


def test_what_is_not_of_a_report_is_kept(tmp_path):
    output = tmp_path / "out"
    write(output)
    (output / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="a report to replace, found notes.txt"):
        write(output)
    (output / "notes.txt").unlink()
    (output / "report.json").unlink()
    with pytest.raises(FileExistsError, match="found a part of one"):
        write(output)


def test_runs_and_the_folder_one_is_in_are_never_replaced(tmp_path, monkeypatch):
    output = tmp_path / "out"
    write(output)
    for runs in (output, output / "tables" / "runs"):
        with pytest.raises(ValueError, match=f"found one that holds {runs}"):
            write(output, runs=[runs])
    monkeypatch.chdir(output / "tables")
    with pytest.raises(ValueError, match="found one that holds .*tables"):
        write(output)
    assert (output / "report.json").read_text() == "new"


def test_below_a_file_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "x" / "y"):
        with pytest.raises(NotADirectoryError, match="file: expected a folder, found"):
            write(output)
