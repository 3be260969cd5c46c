"""Folders that count or do not: a save killed before each of its file operations."""

import json
import subprocess
import sys

import pytest

from hm3_jax.files import file_list
from hm3_jax.files.facts import FileFacts

# A process of its own: forking needs one without the threads of JAX.
KILLS = """
import json, os, shutil, sys
from pathlib import Path
from hm3_jax.files import rename
from hm3_jax.files.hidden import remove_leftovers, take_back
from hm3_jax.files.file_list import damage
from hm3_jax.learn.saved.verified_folder import delete_folder, save_folder

if sys.argv[2] == "without exchange":
    rename._renameat2 = lambda: None

OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}

def write(folder):
    (folder / "arrays" / "d").mkdir(parents=True)
    for name in ("meta.json", "arrays/manifest", "arrays/d/0"):
        (folder / name).write_text(name * 1000)

def save(slot, epoch):
    save_folder(slot / str(epoch), 0, write, lambda folder: None)

def whole(slot):
    take_back(slot)
    found = [path for path in slot.iterdir() if path.name.isdecimal()]
    assert [damage(path) for path in found] == [None] * len(found)
    return sorted(int(path.name) for path in found)

def work(slot):  # a new one, one that is there already, and the oldest deleted
    save(slot, 5)
    save(slot, 4)
    delete_folder(slot / "3")

def killed_before(number, slot):
    left = [number]
    def hook(event, arguments):
        if event in OPERATIONS:
            if left[0] == 0:
                os._exit(9)
            left[0] -= 1
    child = os.fork()
    if child == 0:
        sys.addaudithook(hook)
        work(slot)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

top = Path(sys.argv[1])
for epoch in (3, 4):
    save(top / "before", epoch)
states = []
for number in range(1000):
    slot = shutil.copytree(top / "before", top / "slot")
    killed = killed_before(number, slot)
    states.append(whole(slot))
    remove_leftovers(slot)
    assert all(path.name.isdecimal() for path in slot.iterdir())
    if number % 10 == 0:
        save(slot, 6)
        assert whole(slot) == [*states[-1], 6]
    shutil.rmtree(slot)
    if not killed:
        break
print(json.dumps(states))
"""


@pytest.mark.parametrize("kernel", ["with exchange", "without exchange"])
def test_a_kill_before_any_operation_leaves_whole_folders(tmp_path, repository, kernel):
    done = subprocess.run(
        [sys.executable, "-c", KILLS, tmp_path, kernel],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    states = json.loads(done.stdout)
    assert len(states) > 60
    # In the order they appear in; 4, which is saved again, is never missing.
    appeared = [state for i, state in enumerate(states) if state not in states[:i]]
    assert appeared == [[3, 4], [3, 4, 5], [4, 5]]


@pytest.mark.parametrize("name", ["/etc/hostname", "../../secret", "arrays/../../a"])
def test_files_of_other_folders_are_not_looked_at(tmp_path, name):
    listed = {name: FileFacts(0, "")}
    (tmp_path / "files.json").write_text(file_list.list_text(listed))
    wanted = f"{tmp_path}/files.json: damaged: expected files of its own folder, found "
    assert file_list.damage(tmp_path) == f"{wanted}{name!r}"


def test_a_list_of_files_that_is_nested_deeply_is_damaged(tmp_path):
    (tmp_path / "files.json").write_text("[" * 100_000)
    assert "files.json: damaged: differs" in str(file_list.damage(tmp_path))
