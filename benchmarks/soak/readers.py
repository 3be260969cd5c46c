"""The lane of reading functions: damaged artefacts, in one process that stays."""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import signal
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.soak.commands import INPUTS, TEXTS
from benchmarks.soak.damage import damage
from benchmarks.soak.equality import contents, difference, digest_of_arrays
from benchmarks.soak.reading import OUT, READERS, Reader
from benchmarks.soak.tally import Record

# Seconds after which a function hangs.
_LIMIT = 120


class Readers:
    """Damages copies of artefacts below the current folder, and reads them."""

    def __init__(self, world: Path, seed: int):
        """Copies what there is in `world`, and reads it undamaged."""
        self._seed = seed
        there = {path.name for path in world.iterdir()}
        self._readers = [reader for reader in READERS if reader.artefact in there]
        for artefact in sorted(there - INPUTS):
            shutil.copytree(world / artefact, Path("in") / artefact)
        self._wanted = {}
        for reader in self._readers:
            value, _ = _read(reader)
            self._wanted[reader] = value

    def act(self, number: int) -> tuple[Record, str]:
        """Damages an artefact and reads it; what came of it, and the damage."""
        draw = random.Random(f"{self._seed} damage {number}")
        weights = [reader.weight for reader in self._readers]
        (reader,) = draw.choices(self._readers, weights)
        done = damage(
            Path("in") / reader.artefact,
            draw,
            keep_times=False,
            without=reader.without,
        )
        try:
            outcome, said = self._outcome(reader)
            if outcome == "silently wrong" and done.changes_no_value:
                outcome = "harmless"
        finally:
            done.undo()
        what = f"{reader.artefact}: {reader.name}"
        record = Record(
            "damages",
            number,
            what,
            done.said,
            outcome,
            said,
            whole=False,
            files=done.files_in(reader.artefact),
        )
        return record, done.kind

    def _outcome(self, reader: Reader) -> tuple[str, str]:
        from hm3_jax.cli import frame

        try:
            value, warned = _read(reader)
        except TimeoutError as error:
            return "hung", str(error)
        except Exception as error:
            code, line = frame.outcome(error)
            if code == 2:
                return "noticed", ""
            return "traceback", f"{line}\n{''.join(traceback.format_exception(error))}"
        wanted = self._wanted[reader]
        if reader.verifies:
            return "silently wrong", "it verifies"
        if value == wanted:
            return "harmless", ""
        if warned:
            return "noticed", ""
        if reader.artefact in TEXTS:
            return "taken as an edit", ""
        if isinstance(value, dict):
            return "silently wrong", difference(wanted, value)
        return "silently wrong", f"{str(wanted)[:200]} became {str(value)[:200]}"


def _read(reader: Reader) -> tuple[Any, list[str]]:
    """What came of reading, and what was said of it."""
    said: list[str] = []
    shutil.rmtree(OUT, ignore_errors=True)
    with (
        warnings.catch_warnings(record=True) as warned,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("always")
        signal.alarm(_LIMIT)
        try:
            value = reader.read(said.append)
        finally:
            signal.alarm(0)
    of_ours = [str(of.message) for of in warned if "hm3_jax" in of.filename]
    if value is None:
        value = contents(OUT, digest_of_arrays) if OUT.exists() else {}
    return value, said + of_ours


def _too_long(*_: object) -> NoReturn:
    raise TimeoutError(f"took more than {_LIMIT} s")


def damage_until_closed(
    world: Path, folder: Path, seed: int, first: int, answers: Connection
) -> NoReturn:
    """Acts and sends what came of it, until nobody listens; in a fork.

    Before each action its number is sent, so that it is known if it ends the process.
    """
    code = 1
    try:
        signal.signal(signal.SIGALRM, _too_long)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        folder.mkdir()
        os.chdir(folder)
        readers = Readers(world, seed)
        number = first
        while True:
            answers.send(number)
            answers.send(readers.act(number))
            number += 1
    except (BrokenPipeError, ConnectionResetError):
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
