"""Exact search over generated museums, side by side with faiss's IndexFlatIP.

python -m benchmarks.search [--museums=1000000] [--size=256] [--rounds=7] [--cores=2]

Single queries and batches of 64, top 10. The ways take turns in one process, so that
all see the same machine. Faiss is asked twice: as it comes, and with its BLAS for any
number of queries, which newer versions leave to very large batches although it is much
faster for 64. Each round gives a ratio, ours over the faster of the two, and their
median is reported. All use as many threads as --cores says and choose the kernels of
their OpenBLAS themselves: what the environment says about those is left out. The time
it takes to open the index, and the peak memory of what opens and searches it, are
measured in a process of their own.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.in_process import measured
from hm3_jax.objective.late_interaction import QueryVectors
from hm3_jax.retrieval.exact import ExactSearch, Search, unit
from hm3_jax.retrieval.index import open_index
from hm3_jax.retrieval.index_format import IndexFacts
from hm3_jax.retrieval.index_writer import create_index
from hm3_jax.retrieval.museums import (
    Museums,
    of_one_vector,
    pack_details,
    whole_query,
)

BATCH, TOP_K, THEMES = 64, 10, 10
_CHUNK = 2**16
_CHOICES = ("OPENBLAS_", "GOTO_", "OMP_", "MKL_")


def make_museums(museums: int, size: int) -> Museums:
    """Museums of random unit vectors, of one room each."""
    rng = np.random.default_rng(0)
    vectors = np.empty((museums, size), np.float32)
    for first in range(0, museums, _CHUNK):
        rows = vectors[first : first + _CHUNK]
        rows[:] = unit(rng.standard_normal(rows.shape, np.float32))
    details, _ = pack_details([{"description": [], "rooms": [{"views": 1}]}])
    one_each = np.arange(museums + 1, dtype=np.int64)
    return Museums(
        ids=[f"museum{i:07d}" for i in range(museums)],
        themes=tuple(f"theme{i}" for i in range(THEMES)),
        theme_index=rng.integers(THEMES, size=museums, dtype=np.int32),
        vectors=vectors,
        room_offsets=one_each,
        rooms=vectors.astype(np.float16),
        details=np.tile(details, museums),
        details_offsets=one_each * len(details),
    )


def make_index(path: Path, museums: int, size: int) -> None:
    """Writes an index of them."""
    facts = IndexFacts({}, {}, {"generated": True})
    create_index(path, make_museums(museums, size), facts, {})


def queries(size: int) -> list[QueryVectors]:
    """Some unit vectors."""
    rng = np.random.default_rng(1)
    return [
        whole_query(v) for v in unit(rng.standard_normal((BATCH, size), np.float32))
    ]


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(
    ours: Callable[[], object], theirs: Any, vectors: np.ndarray, rounds: int
) -> dict[str, float]:
    """Times of our search and of both of faiss's, in turns.

    Args:
        ours: searches.
        theirs: faiss's index.
        vectors: that it is searched with, for as many museums.
        rounds: turns.
    """
    times = [
        (
            seconds(ours),
            seconds(lambda: theirs.search(vectors, TOP_K)),
            by_blas(theirs, vectors),
        )
        for _ in range(rounds)
    ]
    ratios = [ours_seconds / min(of_faiss) for ours_seconds, *of_faiss in times]
    medians = [1000 * statistics.median(way) for way in zip(*times, strict=True)]
    ways = ("ours", "faiss", "faiss_blas")
    return {
        **{f"{w}_milliseconds": m for w, m in zip(ways, medians, strict=True)},
        "ratio": statistics.median(ratios),
        "largest_ratio": max(ratios),
    }


def compare(
    museums: Museums,
    rounds: int,
    cores: int,
    search: Callable[[Museums], Search] = ExactSearch,
) -> dict[str, Any]:
    """Times of ours and faiss, in turns, and whether they find the same museums.

    Args:
        museums: of one vector each.
        rounds: turns.
        cores: that faiss takes.
        search: makes ours.
    """
    import faiss

    faiss.omp_set_num_threads(cores)
    vectors = museums.vectors
    theirs = faiss.IndexFlatIP(vectors.shape[1])
    for first in range(0, len(vectors), _CHUNK):
        theirs.add(np.array(vectors[first : first + _CHUNK]))
    ours, asked = search(museums), queries(vectors.shape[1])
    result: dict[str, Any] = {"load_average": os.getloadavg()[0]}
    for name, of_case in (("single", asked[:1]), ("batch", asked)):
        found = [hits.rows for hits in ours.search(of_case, TOP_K)]
        vectors = np.stack([query.vector for query in of_case])
        same = np.mean(np.array(found) == theirs.search(vectors, TOP_K)[1])
        result[name] = {
            **in_turns(
                lambda q=of_case: ours.search(q, TOP_K), theirs, vectors, rounds
            ),
            "same_museums": float(same),
        }
    return result


def use_cores(cores: int) -> None:
    """Has processes started from here on use so many cores, as each library would."""
    # Inherited; libraries start as many threads as there are cores for them.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    # So are these, which would suit one of the two libraries and not the other.
    for name in [name for name in os.environ if name.startswith(_CHOICES)]:
        print(f"{name}={os.environ.pop(name)} left out", file=sys.stderr)


def by_blas(index: Any, asked: np.ndarray) -> float:
    """Seconds of a search in faiss by products of its BLAS."""
    import faiss

    usual = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = 1
    try:
        return seconds(lambda: index.search(asked, TOP_K))
    finally:
        faiss.cvar.distance_compute_blas_threshold = usual


def alone(path: Path) -> dict[str, float]:
    """Opening time, and peak memory of a process that only searches."""
    opened = seconds(lambda: open_index(path))
    index = open_index(path)
    museums = of_one_vector(index.museums, str(path))
    search, asked = ExactSearch(museums), queries(index.manifest.size)
    for _ in range(2):
        search.search(asked[:1], TOP_K)
        search.search(asked, TOP_K)
        search.search(asked, TOP_K, [[0, 3]] * BATCH)
    peak = next(
        1024 * int(line.split()[1])
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    vectors = museums.vectors.nbytes
    return {
        "open_seconds": opened,
        "peak_memory_bytes": peak,
        "peak_over_vectors": peak / vectors,
    }


def main() -> None:
    """Measures, and prints a JSON line a case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--museums", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=256, help="floats a vector")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--index", type=Path, help="keep the index here, or use it")
    parser.add_argument("--case", choices=["compare", "alone"], help="for own use")
    args = parser.parse_args()
    if args.case == "compare":
        museums = of_one_vector(open_index(args.index).museums, str(args.index))
        print(json.dumps(compare(museums, args.rounds, args.cores)))
    elif args.case == "alone":
        print(json.dumps(alone(args.index)))
    else:
        use_cores(args.cores)
        with tempfile.TemporaryDirectory() as folder:
            path = args.index or Path(folder) / "index"
            if not path.exists():
                make_index(path, args.museums, args.size)
            for case in ("alone", "compare"):
                found = measured(
                    "benchmarks.search",
                    f"--case={case}",
                    f"--index={path}",
                    f"--rounds={args.rounds}",
                    f"--cores={args.cores}",
                )
                print(json.dumps({"case": case, **found}))


if __name__ == "__main__":
    main()
