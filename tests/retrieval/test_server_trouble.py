"""The HTTP server when something fails, many ask at once, or it is stopped."""

import concurrent.futures
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from hm3_jax.retrieval.server.app import Queueing
from hm3_jax.retrieval.server.run import listen
from tests.retrieval.serving import WordCollection, served


def test_a_fault_is_no_traceback_and_not_the_end(client: httpx.Client) -> None:
    answer = client.get("/api/search", params={"query": "crash"})
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "the server could not answer this; its log says why"
    }
    assert client.get("/api/search", params={"query": "king"}).status_code == 200


def test_a_backend_that_loses_answers_fails_that_search_only(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/api/search", params={"query": "lost"})
    assert answer.status_code == 500
    assert "expected 1 answers of the search, found 0" in caplog.text
    assert client.get("/healthz").json() == {"status": "ok", "museums": 30}
    assert client.get("/api/search", params={"query": "king"}).status_code == 200


def test_a_search_that_has_ended_is_said_by_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stopped = {"error": "the search has stopped; the server's log says why"}
    queueing = Queueing(largest=1)
    with (
        served(WordCollection(), queueing=queueing) as url,
        httpx.Client(base_url=url, timeout=30) as client,
        concurrent.futures.ThreadPoolExecutor(4) as threads,
    ):
        assert client.get("/healthz").status_code == 200
        # One ends it, the others wait, whatever their order.
        queries = ["king", "exit", "storm", "queen"]
        answers = threads.map(
            lambda query: client.get("/api/search", params={"query": query}), queries
        )
        ended = [answer for answer in answers if answer.status_code != 200]
        later = client.get("/api/search", params={"query": "king"})
        like = client.get("/api/like/museum-03")
        for answer in (*ended, later, like, client.get("/healthz")):
            assert (answer.status_code, answer.json()) == (503, stopped)
        assert ended
        # What does not need the search goes on.
        assert client.get("/api/museums/museum-03").status_code == 200
        assert "hm3_museums 30.0" in client.get("/metrics").text.splitlines()
    (record,) = [r for r in caplog.records if r.levelname == "CRITICAL"]
    assert record.exc_info and isinstance(record.exc_info[1], SystemExit)


def test_an_unreachable_backend_is_503_and_recovers(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/api/search", params={"query": "unreachable"})
    assert answer.status_code == 503
    assert answer.json() == {
        "error": "the search engine of this server cannot be reached; try again later"
    }
    assert answer.headers["retry-after"] == "10"
    assert [record.message for record in caplog.records if record.exc_info is None] == [
        "http://10.0.0.1:6333: Qdrant: no answer"
    ]
    assert client.get("/api/search", params={"query": "king"}).status_code == 200


def wait_until(so: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not so():
        assert time.monotonic() < until
        time.sleep(0.01)


def waiting(client: httpx.Client) -> int:
    """How many queries the server says that wait."""
    (line,) = (
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith("hm3_waiting_queries ")
    )
    return int(float(line.split()[1]))


def test_200_connections_at_once_are_answered_together() -> None:
    collection = WordCollection()
    collection.opened.clear()

    def ask(client: httpx.Client) -> int:
        answer = client.get("/api/search", params={"query": "king queen"})
        assert len(answer.json()["hits"]) == 10
        return answer.status_code

    with (
        served(collection) as url,
        httpx.Client(
            base_url=url, timeout=60, limits=httpx.Limits(max_connections=201)
        ) as client,
        concurrent.futures.ThreadPoolExecutor(200) as threads,
    ):
        answers = threads.map(ask, [client] * 200)
        wait_until(lambda: sum(collection.calls) + waiting(client) == 200)
        collection.opened.set()
        assert list(answers) == [200] * 200
    first, *others = collection.calls
    assert sum(others) == 200 - first
    assert len(others) == -(-(200 - first) // 64)  # at most 64 together


def test_clients_that_dawdle_or_go_away_hold_nobody_up() -> None:
    collection = WordCollection()
    line = b"GET /api/search?query=king HTTP/1.1\r\nHost: localhost\r\n"
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(served(collection))
        address = (httpx.URL(url).host, httpx.URL(url).port or 80)
        for _ in range(100):
            slow = stack.enter_context(socket.create_connection(address, timeout=120))
            slow.sendall(line + b"X-")
        for _ in range(100):
            with socket.create_connection(address, timeout=120) as gone:
                gone.sendall(line + b"\r\n")
        with httpx.Client(base_url=url, timeout=120) as client:
            answer = client.get("/api/search", params={"query": "storm"})
            assert answer.status_code == 200
            assert waiting(client) == 0


def test_a_port_in_use_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"127.0.0.1, port {port}: Address alread"):
            listen("127.0.0.1", port)


def test_a_full_queue_is_503_and_recovers() -> None:
    collection = WordCollection()
    collection.opened.clear()
    queueing = Queueing(largest=1, limit=2)

    def ask(client: httpx.Client) -> httpx.Response:
        return client.get("/api/search", params={"query": "king"})

    with (
        served(collection, queueing=queueing) as url,
        httpx.Client(base_url=url, timeout=120) as client,
        concurrent.futures.ThreadPoolExecutor(8) as threads,
    ):
        asked = [threads.submit(ask, client) for _ in range(8)]
        # One is searched for and two wait.
        wait_until(lambda: sum(one.done() for one in asked) == 5)
        collection.opened.set()
        answers = [one.result() for one in asked]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 5
        assert refused[0].json() == {"error": "the server is busy; try again"}
        assert refused[0].headers["retry-after"] == "1"
        assert ask(client).status_code == 200


_SLOW_SERVER = """
import time
from hm3_jax.retrieval.server.app import make_app
from hm3_jax.retrieval.server.run import address_of, listen, run
from tests.retrieval.serving import WordCollection

class Slow(WordCollection):
    def search(self, queries):
        print("asked", flush=True)
        time.sleep(1)
        return super().search(queries)

listening = listen("127.0.0.1", 0)
print(address_of(listening), flush=True)
run(make_app(Slow()), listening)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_asked_is_answered_before_the_end(
    repository: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW_SERVER],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        with (
            httpx.Client(base_url=url, timeout=120) as client,
            concurrent.futures.ThreadPoolExecutor(1) as thread,
        ):
            assert client.get("/healthz").status_code == 200
            query = {"query": "king"}
            asked = thread.submit(client.get, "/api/search", params=query)
            assert process.stdout.readline() == "asked\n"
            process.send_signal(number)
            assert len(asked.result().json()["hits"]) == 10
        assert process.communicate(timeout=120) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
