"""The lane of reading functions: damaged artefacts, in one process that stays."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import random
import shutil
import signal
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.soak.damage import damage
from benchmarks.soak.equality import contents, difference, digest_of_arrays
from benchmarks.soak.tally import Record
from benchmarks.soak.whole_commands import TEXTS
from benchmarks.soak.world import STRATEGY

_OUT = Path("out")
_RUN = Path(f"in/runs/e/{STRATEGY}/try_1")
# Seconds after which a function hangs.
_LIMIT = 120

Say = Callable[[str], None]
"""Told what a command would warn of."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reader:
    """What commands call to read an artefact.

    Attributes:
        artefact: Its name; it lies in the folder `in`.
        name: Of the reader.
        read: Reads it, and writes to the folder `out`; or returns what it has read.
        verifies: Whether it has to notice every damage.
        weight: How often it is chosen, next to others.
        without: Name of folders that it does not look into.
    """

    artefact: str
    name: str
    read: Callable[[Say], Any]
    verifies: bool = False
    weight: int = 4
    without: str = ""


def _evaluate(checkpoint: Path) -> Callable[[Say], None]:
    def read(say: Say) -> None:
        from hm3_jax.app.evaluation import evaluate_all
        from hm3_jax.app.evaluation_settings import EvaluationSettings
        from hm3_jax.data.open_features import open_features

        asked = EvaluationSettings((str(checkpoint),), ("test",), _OUT)
        evaluate_all(asked, open_features("in/store"), lambda lines: None)

    return read


def _build_index(say: Say) -> None:
    from hm3_jax.app.index_commands import IndexInputs, build

    build(IndexInputs(_RUN, "in/store", ("test",)), _OUT)


def _export(say: Say) -> None:
    from hm3_jax.data.open_features import open_features
    from hm3_jax.data.tfds_format import Publication
    from hm3_jax.data.tfds_writer import publish_store

    publish_store(open_features("in/store"), _OUT, Publication())


def _verify_store(say: Say) -> None:
    from hm3_jax.data.verify import verify_store

    faults = verify_store(Path("in/store"))
    if faults:
        raise ValueError(faults[0])


def _import(say: Say) -> None:
    from hm3_jax.data.tfds_find import find_published
    from hm3_jax.data.tfds_reader import unpack

    unpack(find_published("in/tfds/soak"), _OUT)


def _report(say: Say) -> None:
    from hm3_jax.reporting.build import ReportConfig, make_report

    make_report(ReportConfig(runs=(Path("in/runs"),), output=_OUT, figures=False), say)


def _convert(source: Path, form: Any, to: Any) -> Callable[[Say], None]:
    def read(say: Say) -> None:
        from hm3_jax.app.conversion import Conversion, convert

        convert(
            Conversion(
                source=str(source), source_form=form, output=_OUT, output_form=to
            )
        )

    return read


def _verify_index(say: Say) -> str:
    from hm3_jax.app.index_commands import verify

    return verify(Path("in/index"))


def _search(say: Say) -> Any:
    from hm3_jax.app.searching import SearchSettings, search
    from hm3_jax.retrieval.server.collection import Query

    return repr(search(SearchSettings(Path("in/index"), Query(5, like="museum00002"))))


def _serve(say: Say) -> Any:
    """What `serve` loads before it answers, and an answer of that."""
    from hm3_jax.retrieval.families import exact_search
    from hm3_jax.retrieval.index import open_index
    from hm3_jax.retrieval.loaded import load_index
    from hm3_jax.retrieval.server.collection import Query
    from hm3_jax.retrieval.server.indexed import IndexCollection

    index = load_index(open_index(Path("in/index")))
    collection = IndexCollection(index, lambda texts: [], exact_search(index.museums))
    return repr(collection.search([Query(5, like="museum00002")]))


def _list(say: Say) -> Any:
    from hm3_jax.data.museum_jsonl import read_museum_files

    return repr(read_museum_files(Path("in/list/museums.jsonl")))


def _strategy(say: Say) -> Any:
    from hm3_jax.nn.strategy_json import load_strategy

    return [
        repr(load_strategy(path)) for path in sorted(Path("in/strategies").iterdir())
    ]


READERS = (
    Reader("store", "evaluate", _evaluate(_RUN)),
    Reader("store", "build_index", _build_index),
    Reader("store", "export_features", _export, weight=2),
    Reader("store", "inspect --verify", _verify_store, verifies=True),
    Reader("runs", "report", _report, weight=8, without="checkpoints"),
    Reader("runs", "evaluate", _evaluate(_RUN), weight=2),
    Reader("runs", "convert to shared", _convert(_RUN, "orbax", "shared")),
    Reader("shared", "evaluate", _evaluate(Path("in/shared")), weight=2),
    Reader(
        "shared", "convert to orbax", _convert(Path("in/shared"), "shared", "orbax")
    ),
    Reader("pytorch", "convert", _convert(Path("in/pytorch"), "pytorch", "orbax")),
    Reader("index", "search --like", _search),
    Reader("index", "serve", _serve),
    Reader("index", "build_index --verify", _verify_index, verifies=True),
    Reader("tfds", "import_features", _import),
    Reader("list", "extract", _list),
    Reader("strategies", "train", _strategy, weight=2),
)


class Readers:
    """Damages copies of artefacts below the current folder, and reads them."""

    def __init__(self, world: Path, seed: int):
        """Copies what there is in `world`, and reads it undamaged."""
        self._seed = seed
        there = {path.name for path in world.iterdir()}
        self._readers = [reader for reader in READERS if reader.artefact in there]
        for artefact in {reader.artefact for reader in self._readers} | {
            "store",
            "runs",
        }:
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
        record = Record("damages", number, what, done.said, outcome, said, whole=False)
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
    shutil.rmtree(_OUT, ignore_errors=True)
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
        value = contents(_OUT, digest_of_arrays) if _OUT.exists() else {}
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
