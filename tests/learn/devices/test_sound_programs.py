"""Compiled programs that a kill or a disk has spoiled are compiled again."""

import subprocess
import sys
from pathlib import Path

import pytest
from jax._src.lru_cache import LRUCache

from hm3_jax.learn.devices.sound_programs import SoundPrograms

KEY, OTHER = "jit_step-0123", "jit_test-4567"


def opened(folder: Path) -> SoundPrograms:
    return SoundPrograms(LRUCache(str(folder), max_size=2**20), folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


@pytest.mark.parametrize("place", [0, 50, 99, 110])
def test_a_flipped_bit_is_no_program(tmp_path, place):
    opened(tmp_path).put(KEY, bytes(range(100)))
    assert opened(tmp_path).get(KEY) == bytes(range(100))
    file = tmp_path / f"{KEY}-cache"
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)
    assert opened(tmp_path).get(KEY) is None
    assert names(tmp_path) == []
    opened(tmp_path).put(KEY, b"compiled again")
    assert opened(tmp_path).get(KEY) == b"compiled again"


@pytest.mark.parametrize("bytes_written", [0, 10, 116])
def test_what_a_kill_has_left_is_removed(tmp_path, bytes_written):
    opened(tmp_path).put(KEY, bytes(100))
    # JAX writes the program first, then when it was used.
    (tmp_path / f"{KEY}-atime").unlink()
    program = tmp_path / f"{KEY}-cache"
    program.write_bytes(program.read_bytes()[:bytes_written])
    with pytest.raises(FileNotFoundError):
        LRUCache(str(tmp_path), max_size=2**20).put(OTHER, b"as JAX has it")
    opened(tmp_path).put(OTHER, b"another")
    assert names(tmp_path) == [f"{OTHER}-atime", f"{OTHER}-cache"]
    assert opened(tmp_path).get(OTHER) == b"another"


@pytest.mark.thorough
def test_commands_compare_what_they_read(tmp_path):
    program = """
import jax
from hm3_jax.learn.devices.compilation_cache import keep_compiled_programs
print(keep_compiled_programs())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
print(jax.jit(lambda x: x * 3 + 1)(2))
print(sum(name.endswith("/cache_hits") for name in hits))
"""

    def run() -> list[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            env={"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

    folder, value, hits = run()
    (file,) = Path(folder).glob("jit__lambda*-cache")
    wanted = file.read_bytes()
    assert (value, hits) == ("7", "0")
    assert run() == [folder, "7", str(len(list(Path(folder).glob("*-cache"))))]
    # As a disk spoils it: a program that does something else.
    file.write_bytes(wanted[:200] + bytes([wanted[200] ^ 1]) + wanted[201:])
    assert run()[1] == "7"
    assert file.read_bytes() != wanted[:200] + bytes([wanted[200] ^ 1]) + wanted[201:]
