"""What commands call to read artefacts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.soak.commands import LATE_RUN, RUN
from hm3_jax.app.model_names import ZERO_SHOT

OUT = Path("out")
_RUN, _LATE_RUN = Path(RUN), Path(LATE_RUN)
_LIKE = "museum00002"
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

        asked = EvaluationSettings((str(checkpoint),), ("test",), OUT)
        evaluate_all(asked, open_features("in/store"), lambda lines: None)

    return read


def _build_index(checkpoint: Path | str, store: str) -> Callable[[Say], None]:
    def read(say: Say) -> None:
        from hm3_jax.app.index_commands import IndexInputs, build

        build(IndexInputs(checkpoint, store, ("test",)), OUT)

    return read


def _export(say: Say) -> None:
    from hm3_jax.data.open_features import open_features
    from hm3_jax.data.tfds_format import Publication
    from hm3_jax.data.tfds_writer import publish_store

    publish_store(open_features("in/store"), OUT, Publication())


def _verify_store(store: Path) -> Callable[[Say], None]:
    def read(say: Say) -> None:
        from hm3_jax.data.verify import verify_store

        faults = verify_store(store)
        if faults:
            raise ValueError(faults[0])

    return read


def _import(say: Say) -> None:
    from hm3_jax.data.tfds_find import find_published
    from hm3_jax.data.tfds_reader import unpack

    unpack(find_published("in/tfds/soak"), OUT)


def _report(runs: Path) -> Callable[[Say], None]:
    def read(say: Say) -> None:
        from hm3_jax.reporting.build import ReportConfig, make_report

        make_report(ReportConfig(runs=(runs,), output=OUT, figures=False), say)

    return read


def _convert(source: Path, form: Any, to: Any) -> Callable[[Say], None]:
    def read(say: Say) -> None:
        from hm3_jax.app.conversion import Conversion, convert

        convert(
            Conversion(source=str(source), source_form=form, output=OUT, output_form=to)
        )

    return read


def _verify_index(index: Path) -> Callable[[Say], str]:
    def read(say: Say) -> str:
        from hm3_jax.app.index_commands import verify

        return verify(index)

    return read


def _search(index: Path, engine: str | None = None) -> Callable[[Say], str]:
    def read(say: Say) -> str:
        from hm3_jax.app.searching import SearchSettings, search
        from hm3_jax.retrieval.engine.connection import Engine
        from hm3_jax.retrieval.server.collection import Query

        where = None if engine is None else Engine(engine)
        return repr(search(SearchSettings(index, Query(5, like=_LIKE), engine=where)))

    return read


def _serve(path: Path) -> Callable[[Say], str]:
    """What `serve` loads before it answers, and an answer of that."""

    def read(say: Say) -> str:
        from hm3_jax.retrieval.families import exact_search
        from hm3_jax.retrieval.index import open_index
        from hm3_jax.retrieval.loaded import load_index
        from hm3_jax.retrieval.server.collection import Query
        from hm3_jax.retrieval.server.indexed import IndexCollection

        index = load_index(open_index(path))
        held = IndexCollection(index, lambda texts: [], exact_search(index.museums))
        return repr(held.search([Query(5, like=_LIKE)]))

    return read


def _list(say: Say) -> Any:
    from hm3_jax.data.museum_jsonl import read_museum_files

    return repr(read_museum_files(Path("in/list/museums.jsonl")))


def _strategy(say: Say) -> Any:
    from hm3_jax.nn.strategy_json import load_strategy

    return [
        repr(load_strategy(path)) for path in sorted(Path("in/strategies").iterdir())
    ]


_STORE, _INDEX, _LATE_INDEX = Path("in/store"), Path("in/index"), Path("in/late_index")
_CLIENT = Path("in/client")
_LATE_URI = _search(Path("in/late_client"), "in/late_qdrant")

READERS = (
    Reader("store", "evaluate", _evaluate(_RUN)),
    Reader("store", "build_index", _build_index(_RUN, "in/store")),
    Reader("store", "build_index late", _build_index(_LATE_RUN, "in/store"), weight=2),
    Reader("store", "export_features", _export, weight=2),
    Reader("store", "inspect --verify", _verify_store(_STORE), verifies=True),
    Reader(
        "extracted", "build_index zero-shot", _build_index(ZERO_SHOT, "in/extracted")
    ),
    Reader(
        "extracted",
        "inspect --verify",
        _verify_store(Path("in/extracted")),
        verifies=True,
    ),
    Reader("runs", "report", _report(Path("in/runs")), weight=8, without="checkpoints"),
    Reader("runs", "evaluate", _evaluate(_RUN), weight=2),
    Reader("runs", "convert to shared", _convert(_RUN, "orbax", "shared")),
    Reader("late_runs", "report", _report(Path("in/late_runs")), without="checkpoints"),
    Reader("late_runs", "evaluate", _evaluate(_LATE_RUN), weight=2),
    Reader("late_runs", "build_index", _build_index(_LATE_RUN, "in/store"), weight=2),
    Reader("shared", "evaluate", _evaluate(Path("in/shared")), weight=2),
    Reader(
        "shared", "convert to orbax", _convert(Path("in/shared"), "shared", "orbax")
    ),
    Reader("late_shared", "evaluate", _evaluate(Path("in/late_shared")), weight=2),
    Reader(
        "late_shared",
        "convert to orbax",
        _convert(Path("in/late_shared"), "shared", "orbax"),
    ),
    Reader("pytorch", "convert", _convert(Path("in/pytorch"), "pytorch", "orbax")),
    Reader("orbax", "convert", _convert(Path("in/orbax"), "orbax", "pytorch")),
    Reader("index", "search --like", _search(_INDEX)),
    Reader("index", "serve", _serve(_INDEX)),
    Reader("index", "build_index --verify", _verify_index(_INDEX), verifies=True),
    Reader("late_index", "search --like", _search(_LATE_INDEX)),
    Reader("late_index", "serve", _serve(_LATE_INDEX)),
    Reader(
        "late_index", "build_index --verify", _verify_index(_LATE_INDEX), verifies=True
    ),
    *(
        Reader(artefact, "search --uri", read, weight=2)
        for of, read in (("", _search(_CLIENT, "in/qdrant")), ("late_", _LATE_URI))
        for artefact in (f"{of}client", f"{of}qdrant")
    ),
    Reader("tfds", "import_features", _import),
    Reader("list", "extract", _list),
    Reader("strategies", "train", _strategy, weight=2),
)
"""By what they read; some read others besides."""
