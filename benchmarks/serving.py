"""Time from a query's text to its answer's JSON.

    python -m benchmarks.serving --index=INDEX

Starts `hm3_jax.serve` on the index, waits until it says that it serves, and sends
requests at a steady rate, whether or not earlier ones have been answered, over
connections that are kept. Time counts from the moment a request is due, so that a
server that falls behind shows. Queries are descriptions of one to three sentences, each
different, by concepts of generated museums. The second line is the load of 64
clients that each wait for their answer, which is the server's throughput. Client and
server share the cores.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Sequence

import httpx
import numpy as np

from hm3_jax.data.concepts import CONCEPTS

_CLIENTS = 64


def main() -> None:
    """Measures, prints one JSON line a measurement; exit code 1 where errors came."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--index", required=True)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    # Inherited by the server.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.cores])
    queries = make_queries(given.requests)
    server = subprocess.Popen(
        [sys.executable, "-m", "hm3_jax.serve", f"--index={given.index}", "--port=0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        started = time.perf_counter()
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        start_seconds = time.perf_counter() - started
        first = asyncio.run(ask_steadily(url, queries[:1], given.rate))
        first_seconds = time.perf_counter() - started
        steady = asyncio.run(ask_steadily(url, queries, given.rate))
        flood = asyncio.run(ask_at_once(url, queries))
    finally:
        server.terminate()
        server.wait()
    about = {
        "processor": platform.processor() or platform.machine(),
        "start_s": round(start_seconds, 2),
        "first_query_ms": summary(first)["worst_ms"],
        "start_to_first_answer_s": round(first_seconds, 2),
        "rate": given.rate,
    }
    print(json.dumps(about | summary(steady)))
    print(json.dumps({"clients": _CLIENTS, "requests_a_second": round(flood, 1)}))
    sys.exit(int(None in steady))


def make_queries(count: int) -> list[str]:
    """Different descriptions, the same for every call."""
    rng = random.Random(0)

    def word(group: str) -> str:
        return rng.choice(CONCEPTS[group])

    def sentence() -> str:
        return (
            f"A {word('mood')} {word('subject')} stands before a {word('setting')} "
            f"with a {word('colour')} {word('object')}, in {word('technique')}."
        )

    return [
        " ".join(sentence() for _ in range(rng.randint(1, 3))) for _ in range(count)
    ]


async def ask_steadily(
    url: str, queries: Sequence[str], rate: float
) -> list[float | None]:
    """Seconds that each answer took; None where there was none."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        start = time.perf_counter() + 0.1

        async def one(number: int, query: str) -> float | None:
            due = start + number / rate
            await asyncio.sleep(due - time.perf_counter())
            answered = await ask(client, query)
            return time.perf_counter() - due if answered else None

        return await asyncio.gather(*(one(i, q) for i, q in enumerate(queries)))


async def ask_at_once(url: str, queries: Sequence[str]) -> float:
    """Answers a second to clients that always wait for one."""
    left = iter(queries)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def one() -> None:
            for query in left:
                if not await ask(client, query):
                    raise RuntimeError("the server has refused a query")

        start = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(_CLIENTS)))
        return len(queries) / (time.perf_counter() - start)


async def ask(client: httpx.AsyncClient, query: str) -> bool:
    """Whether the server had ten museums for a query."""
    try:
        answer = await client.get("/api/search", params={"query": query})
        return answer.status_code == 200 and len(answer.json()["hits"]) == 10
    except httpx.HTTPError:
        return False


def summary(seconds: Sequence[float | None]) -> dict[str, float]:
    """Percentiles in milliseconds, and how many requests had no answer."""
    good = 1000 * np.array([s for s in seconds if s is not None])
    figures = {
        f"p{p}_ms": round(float(np.percentile(good, p)), 2) for p in (50, 90, 99)
    }
    figures["worst_ms"] = round(float(good.max()), 2)
    return figures | {"requests": len(seconds), "errors": len(seconds) - len(good)}


if __name__ == "__main__":
    main()
