"""Figures about the server, in the format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.3, 1, 3, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Measures:
    """Counts of one server; several in a process do not mix."""

    def __init__(self, museums: int):
        """Starts from nothing.

        Args:
            museums: How many the collection has.
        """
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "hm3_requests",
            "Requests answered",
            ("route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "hm3_request_seconds",
            "Time from a request's first byte to its answer's last",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "hm3_batch_queries",
            "Queries that were searched together",
            buckets=_SIZES,
            registry=self._registry,
        )
        self._waiting = Gauge(
            "hm3_waiting_queries", "Queries that wait", registry=self._registry
        )
        Gauge("hm3_museums", "Museums in the collection", registry=self._registry).set(
            museums
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, size: int) -> None:
        """Counts queries that are searched together."""
        self._batches.observe(size)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """Asks this for the number of waiting queries whenever figures are read."""
        self._waiting.set_function(waiting)

    def text(self) -> bytes:
        """All figures, in Prometheus' text format."""
        return generate_latest(self._registry)
