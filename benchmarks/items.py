"""Exact search over items of generated museums, side by side with faiss and others.

python -m benchmarks.items [--museums=100000] [--items=30] [--size=256] [--rounds=5]
  [--cores=2] [--others=2000]

A query of five sentences, top 10 museums by late interaction, against faiss's
IndexFlatIP that searches the same five vectors among all items (and so does less: it
joins nothing). They take turns in one process, so that both see the same machine; each
round gives a ratio, ours over the faster of faiss as it comes and faiss with its BLAS,
and their median is reported. What the search of a query takes in memory is measured in
a process of its own, over the bytes of the items as float32. All use as many threads as
--cores says.

Qdrant (embedded), maxsim-cpu and fast-plaid, where they are installed, search the first
--others museums by the plain maximum (fast-plaid not exactly), in turns with ours.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.in_process import measured
from benchmarks.items_others import OTHERS
from benchmarks.search import in_turns, seconds, use_cores
from hm3_jax.objective.late_interaction import MuseumVectors, QueryVectors, scores_of
from hm3_jax.retrieval.exact import Search, unit
from hm3_jax.retrieval.index import open_index
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.index_writer import create_index
from hm3_jax.retrieval.item_museums import ItemMuseums, item_museums
from hm3_jax.retrieval.item_search import ItemSearch
from hm3_jax.retrieval.museums import pack_details

SENTENCES, TOP_K, SHARPNESS, THEMES = 5, 10, 20.0, 9
_CHUNK = 2**16


def make_museums(museums: int, items: int, size: int) -> ItemMuseums:
    """Museums of random unit vectors, `items` each on average."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(items // 2, items + items // 2 + 1, museums)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    count = int(offsets[-1])
    vectors = np.empty((count, size), np.float16)
    for first in range(0, count, _CHUNK):
        rows = vectors[first : first + _CHUNK]
        rows[:] = unit(rng.standard_normal(rows.shape, np.float32))
    details, _ = pack_details([{"description": [], "rooms": [{"views": items}]}])
    shares = rng.random((museums, THEMES)).astype(np.float32)
    return item_museums(
        [f"museum{i:07d}" for i in range(museums)],
        tuple(f"theme{i}" for i in range(THEMES)),
        rng.integers(THEMES, size=museums, dtype=np.int32),
        MuseumVectors(
            items=vectors,
            offsets=offsets,
            rooms=np.zeros(count, np.int32),
            kinds=np.zeros(count, np.uint8),
            places=np.zeros(count, np.int32),
            bias=(-np.log(lengths) / SHARPNESS).astype(np.float32),
            vectors=np.zeros((museums, 0), np.float32),
            themes=np.log(shares / shares.sum(axis=1, keepdims=True)),
        ),
        np.tile(details, museums),
        np.arange(museums + 1, dtype=np.int64) * len(details),
        sharpness=SHARPNESS,
        theme_weight=0.1,
    )


def make_query(size: int) -> QueryVectors:
    """Random sentences."""
    rng = np.random.default_rng(1)
    return QueryVectors(
        unit(rng.standard_normal((SENTENCES, size))),
        np.full(SENTENCES, 1 / SENTENCES, np.float32),
        np.empty(0, np.float32),
        np.log(np.full(THEMES, 1 / THEMES, np.float32)),
    )


def opened(path: Path) -> ItemMuseums:
    """The museums of an index that this benchmark made."""
    museums = open_index(path).museums
    assert isinstance(museums, ItemMuseums)
    return museums


def compare(
    museums: ItemMuseums,
    rounds: int,
    cores: int,
    search: Callable[[ItemMuseums], Search] = ItemSearch,
) -> dict[str, Any]:
    """Times of ours and faiss, in turns, and whether ours finds what it ought to.

    Args:
        museums: of many vectors.
        rounds: turns.
        cores: that faiss takes.
        search: makes ours.
    """
    import faiss

    faiss.omp_set_num_threads(cores)
    items = museums.embedded.items
    theirs = faiss.IndexFlatIP(items.shape[1])
    for first in range(0, len(items), _CHUNK):
        theirs.add(items[first : first + _CHUNK].astype(np.float32))
    ours, query = search(museums), make_query(items.shape[1])
    (found,) = ours.search([query], TOP_K)
    scores = scores_of(query, museums.embedded, SHARPNESS, museums.theme_weight)
    wanted = np.lexsort((np.arange(len(scores)), -scores))[:TOP_K]
    return {
        "museums": len(museums),
        "items": len(items),
        "load_average": os.getloadavg()[0],
        **in_turns(
            lambda: ours.search([query], TOP_K), theirs, query.sentences, rounds
        ),
        "as_the_oracle": found.rows.tolist() == wanted.tolist(),
    }


def others(path: Path, museums: int, rounds: int) -> dict[str, Any]:
    """Times of other searches and of ours over the first museums, in turns.

    Ours is as sharp as it can be, so that its soft maximum is nearly the maximum; what
    share of the museums found are those of the plain maximum is said of each.
    """
    whole = opened(path)
    offsets = whole.embedded.offsets[: museums + 1]
    first = [
        whole.embedded.items[start:end].astype(np.float32)
        for start, end in zip(offsets[:-1], offsets[1:], strict=True)
    ]
    query = make_query(whole.vector_size)
    sums = np.array([(query.sentences @ x.T).max(axis=1).sum() for x in first])
    wanted = set(np.argsort(-sums)[:TOP_K].tolist())
    search = ItemSearch(first_museums(whole, len(first)))
    ways: dict[str, Callable[[], Sequence[int]]] = {
        "ours": lambda: search.search([query], TOP_K)[0].rows.tolist()
    }
    result: dict[str, Any] = {"museums": len(first)}
    for name, make in OTHERS.items():
        try:
            ways[name] = make(first, query, TOP_K)
        except ImportError as error:
            result[name] = f"not installed: {error}"
    times = [{name: seconds(way) for name, way in ways.items()} for _ in range(rounds)]
    for name, way in ways.items():
        taken = [of_round[name] for of_round in times]
        result[name] = {
            "milliseconds": 1000 * statistics.median(taken),
            "ours_over_it": statistics.median(
                of_round["ours"] / of_round[name] for of_round in times
            ),
            "of_the_maximum": len(wanted.intersection(way())) / TOP_K,
        }
    return result


def first_museums(museums: ItemMuseums, count: int) -> ItemMuseums:
    """The first of some museums, compared by their items alone."""
    held, items = museums.embedded, int(museums.embedded.offsets[count])
    return item_museums(
        museums.ids[:count],
        museums.themes,
        museums.theme_index[:count],
        MuseumVectors(
            items=held.items[:items],
            offsets=held.offsets[: count + 1],
            rooms=held.rooms[:items],
            kinds=held.kinds[:items],
            places=held.places[:items],
            bias=np.zeros(count, np.float32),
            vectors=held.vectors[:count],
            themes=held.themes[:count],
        ),
        museums.details,
        museums.details_offsets[: count + 1],
        sharpness=80.0,
    )


def alone(path: Path) -> dict[str, float]:
    """Memory of a process that opens the index and searches, beyond what it began with.

    Most is the file of 8-bit items, mapped, which other processes share.
    """
    before = memory("VmRSS")
    museums = opened(path)
    query = make_query(museums.vector_size)
    search = ItemSearch(museums)
    for _ in range(2):
        search.search([query], TOP_K)
        search.search([query] * 4, TOP_K, [[0, 3]] * 4)
    growth = memory("VmHWM") - before
    as_float32 = 4 * museums.embedded.items.size
    return {"memory_bytes": growth, "memory_over_float32": growth / as_float32}


def memory(what: str) -> int:
    """Bytes of this process, as the kernel counts them."""
    return next(
        1024 * int(line.split()[1])
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith(what)
    )


def main() -> None:
    """Measures, and prints a JSON line a case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--museums", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=30, help="of a museum, on average")
    parser.add_argument("--size", type=int, default=256, help="floats a vector")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--index", type=Path, help="keep the index here, or use it")
    parser.add_argument(
        "--others", type=int, default=2000, help="museums that others search"
    )
    cases = ["alone", "compare", "others"]
    parser.add_argument("--case", choices=cases, help="for own use")
    args = parser.parse_args()
    if args.case == "compare":
        print(json.dumps(compare(opened(args.index), args.rounds, args.cores)))
    elif args.case == "alone":
        print(json.dumps(alone(args.index)))
    elif args.case == "others":
        print(json.dumps(others(args.index, args.others, args.rounds)))
    else:
        use_cores(args.cores)
        with tempfile.TemporaryDirectory() as folder:
            path = args.index or Path(folder) / "index"
            if not path.exists():
                museums = make_museums(args.museums, args.items, args.size)
                facts = {"sharpness": SHARPNESS, "theme_weight": museums.theme_weight}
                create_index(path, museums, IndexFacts(facts, {}, {}), {})
            for case in cases:
                found = measured(
                    "benchmarks.items",
                    f"--case={case}",
                    f"--index={path}",
                    f"--rounds={args.rounds}",
                    f"--cores={args.cores}",
                    f"--others={args.others}",
                )
                print(json.dumps({"case": case, **found}))


if __name__ == "__main__":
    main()
