"""The soak: its damages, its sums, and some dozen of its actions."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.soak.commands import ARTEFACTS, COMMANDS, INPUTS, NOT_READ
from benchmarks.soak.coverage import left_alone, output_of
from benchmarks.soak.damage import KINDS, damage, kind_of
from benchmarks.soak.equality import contents, difference
from benchmarks.soak.forked import Ended
from benchmarks.soak.moments import drawn_blow
from benchmarks.soak.reading import READERS
from benchmarks.soak.tally import Record, Tally
from hm3_jax.cli.console import commands


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of one size, another one, an empty one, and one that is left alone."""
    where = tmp_path / "artefact"
    (where / "a").mkdir(parents=True)
    (where / "arrays").mkdir()
    for name, data in {
        "a/one": bytes(range(200)),
        "other": bytes(range(1, 201)),
        "text.json": b'{"a":  1}',
        "empty": b"",
        "arrays/1": b"xyz",
    }.items():
        (where / name).write_bytes(data)
    return where


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_damage_changes_something_and_is_undone(folder):
    before = bytes_of(folder)
    kinds, seen = set(), []
    for number in range(200):
        done = damage(folder, random.Random(number), keep_times=False, without="arrays")
        after = bytes_of(folder)
        changed = {name for name in before if after[name] != before[name]}
        assert len(changed) == (2 if done.kind == "files swapped" else 1)
        assert all(name in done.said for name in changed)
        assert "empty" not in changed and "arrays/1" not in changed
        if done.kind == "bit flipped":
            (name,) = changed
            flipped = zip(before[name], after[name], strict=True)
            assert sum((a ^ b).bit_count() for a, b in flipped) == 1
        if done.kind in ("byte deleted", "cut short"):
            (name,) = changed
            assert len(after[name]) < len(before[name])
        done.undo()
        assert bytes_of(folder) == before
        kinds.add(done.kind)
        seen.append(done.said)
    assert kinds == set(KINDS)
    again = damage(folder, random.Random(7), keep_times=False, without="arrays")
    assert again.said == seen[7]


def test_times_are_kept_as_by_a_disk_that_spoils_files(folder):
    os.utime(folder / "text.json", ns=(10**18, 10**18))
    for number in range(50):
        done = damage(folder, random.Random(number), keep_times=True)
        if folder / "text.json" in done.before:
            assert (folder / "text.json").stat().st_mtime_ns == 10**18
            return
        done.undo()
    raise AssertionError


def test_space_between_values_of_json_is_no_value(folder):
    path = folder / "text.json"
    only = damage(folder / "arrays", random.Random(0), keep_times=False)
    for text, same in (('{"a": 1}', True), ('{"a":  2}', False), ('{"a":', False)):
        path.write_text(text)
        found = type(only)("", "", {path: b'{"a":  1}'})
        assert found.changes_no_value is same


def test_what_is_compared_of_a_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    where = tmp_path / "checkpoints" / "last" / "1"
    (where / "arrays").mkdir(parents=True)
    for name in ("meta.json", "files.json", "arrays/a_random_name"):
        (where / name).write_text("1")
    (tmp_path / "experiment.json").write_text('{"uid": "1", "name": "e"}')
    (tmp_path / "speed.jsonl").write_text("1")
    found = contents(tmp_path, lambda folder: f"of {folder.name}")
    here = "checkpoints/last/1/"
    assert found.keys() == {
        "empty/",
        f"{here}arrays",
        f"{here}meta.json",
        "experiment.json",
        "speed.jsonl",
    }
    assert found[f"{here}arrays"] == "of arrays"
    (tmp_path / "experiment.json").write_text('{"uid": "2", "name": "e"}')
    (tmp_path / "speed.jsonl").write_text("2")
    assert contents(tmp_path, lambda folder: f"of {folder.name}") == found
    (tmp_path / "experiment.json").write_text('{"uid": "2", "name": "f"}')
    (tmp_path / "more").write_text("")
    (where / "meta.json").unlink()
    assert difference(found, contents(tmp_path, lambda folder: "")) == (
        f"no {here}arrays, also {here}arrays/a_random_name, also {here}files.json, "
        f"no {here}meta.json and 2 more"
    )


def test_every_command_of_the_package_is_among_them():
    assert {command.module for command in COMMANDS.values()} == commands().keys()
    killed = {c.module for c in COMMANDS.values() if c.kind in ("writes", "serves")}
    # These write nothing, and end at once.
    assert commands().keys() - killed == {"inspect", "search"}


def test_every_output_is_damaged_or_no_command_reads_it():
    read = {reader.artefact for reader in READERS}
    read |= {artefact for c in COMMANDS.values() for artefact in c.reads} - INPUTS
    assert ARTEFACTS.keys() <= read
    damaged = {output for _, output in ARTEFACTS.values()}
    written = {
        output_of(output)
        for command in COMMANDS.values()
        if command.kind == "writes"
        for output in command.writes
    }
    assert written == damaged | NOT_READ.keys()
    assert not damaged & NOT_READ.keys()


def test_a_kind_of_file_that_is_not_damaged_is_named(tmp_path):
    for artefact in ARTEFACTS:
        (tmp_path / artefact).mkdir()
    for name in ("manifest.json", "split_1.npy"):
        (tmp_path / "store" / name).write_text("1")
    left = {"manifest.json": "1", "split_2.npy": "1", "empty/": "", "new.npy": "1"}
    outputs = {
        "synthesize": {"store": left},
        "report": {"report": {"page.html": "1"}},
        "train": {"runs": {"e/checkpoints/last/1/arrays": "1"}},
    }
    assert left_alone(tmp_path, outputs) == ["runs: arrays/*", "store: new.npy"]


def test_what_a_file_is():
    names = {
        "a/generation-3/manifest.json": "manifest.json",
        "try_1/checkpoints/last/2/arrays/d/0123456789abcdef0123": "arrays/*",
        "soak-train.array_record-00000-of-00001": "soak-train.array_record-#-of-#",
    }
    assert {name: kind_of(Path(name)) for name in names} == names


def test_blows_come_everywhere_in_a_command():
    # It loads for ten seconds, and works for one: two operations, then a long step.
    times = (0.5, *(9 + i / 100 for i in range(9)), 10.0, 10.1)
    undisturbed = Ended(0, "", "", 11.0, times, 10, hung=False, struck=False)
    blows = [drawn_blow(random.Random(n), undisturbed) for n in range(3000)]
    assert {sent for blow in blows for sent in blow.signals} == {
        signal.SIGKILL,
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGSTOP,
        signal.SIGCONT,
    }
    before = Counter(blow.operation for blow in blows if blow.is_own)
    assert before.keys() == set(range(len(times)))
    assert 1300 < before.total() < 1700
    by_clock = [blow for blow in blows if blow.operation is None]
    assert 450 < len(by_clock) < 750
    between = [blow for blow in blows if not blow.is_own and blow.operation is not None]
    for blow in between:
        assert 10.0 <= times[blow.operation or 0] + blow.seconds <= 11.0
    in_the_step = [blow for blow in between if blow.operation == len(times) - 1]
    assert 0.8 < len(in_the_step) / len(between) < 0.98
    few = [
        drawn_blow(random.Random(n), dataclasses.replace(undisturbed, operations=()))
        for n in range(50)
    ]
    assert all(blow.operation is None for blow in few)


def test_sums_and_files(tmp_path):
    tally = Tally(["store: views.npy", "store: manifest.json"])
    for outcome, way in (("equal", "SIGKILL"), ("wrong", "SIGINT")):
        record = Record("kills", 3, "train", "how", outcome, "why", left="some")
        tally.add(record, way)
    for whole in (True, False):
        record = Record(
            "damages",
            4,
            "store: train",
            "bit",
            "noticed",
            whole=whole,
            files=("store: manifest.json",),
        )
        tally.add(record, "bit flipped")
    assert tally.total("kills") == 2 and tally.total("kills", "wrong") == 1
    assert tally.total("damages", "noticed") == 2 and tally.whole == 1
    assert [fault.outcome for fault in tally.faults] == ["wrong"]
    assert tally.code == 3 and Tally().code == 0
    tally.write(tmp_path, {"seed": 1})
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["seed"] == 1 and found["ways"]["damages"] == {"bit flipped": 2}
    assert found["kills_by_what_they_left"] == {"train": {"some": 2}}
    assert found["damages_by_file"] == {
        "store: manifest.json": 2,
        "store: views.npy": 0,
    }
    text = (tmp_path / "soak.md").read_text()
    assert "| train | 2 | 1 | 1 | 0 | 0 | 0 | 0 |" in text
    assert "* kills 3: train: how: wrong: why\n" in text


def test_a_fault_that_damages_found_decides():
    tally = Tally()
    tally.add(Record("kills", 1, "train", "how", "leftovers"), "SIGINT")
    tally.add(Record("damages", 1, "store: train", "how", "hung"), "bit flipped")
    assert tally.code == 1


# Continuous integration runs the soak itself.
@pytest.mark.slow
def test_some_hundred_of_its_actions(repository, tmp_path):
    """Nothing is wrong, refused for good, left over, or wrong without a word."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.soak", "--minutes=60", "--seed=3"),
            *("--kills=150", "--damages=3000", f"--output={tmp_path}"),
        ],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "soak.json").read_text())
    counts = {
        lane: sum(entry["count"] for entry in found["counts"][lane])
        for lane in ("kills", "damages")
    }
    assert counts["kills"] == 150 and counts["damages"] >= 3000
    assert found["damages_read_by_whole_commands"] > 0 and found["faults"] == []
    # Some artefacts only whole commands read, which are slow.
    often = {reader.artefact for reader in READERS}
    never = [file for file, times in found["damages_by_file"].items() if not times]
    assert len([file for file in never if file.split(":")[0] in often]) < 10
