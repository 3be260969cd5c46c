"""Runs the server until it is told to stop."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

# Seconds that requests have to end when the server is stopped.
_GRACE = 10
_BACKLOG = 2048
# More connections than this are answered with 503 at once.
_MOST_CONNECTIONS = 1000


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Args:
        host: Name or address.
        port: Its number; 0 takes a free one.

    Raises:
        ValueError: If that is impossible; says why.
    """
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"expected an address to listen on, found {host}, port {port}: "
            f"{getattr(error, 'strerror', None) or error}"
        ) from None


def address_of(listening: socket.socket) -> str:
    """The address that a browser on this machine opens."""
    name, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, str(name))
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_proxies(addresses: Sequence[str]) -> None:
    """Checks the addresses of proxies whose headers are believed.

    Raises:
        ValueError: If one is no IP address, network or "*".
    """
    for address in addresses:
        try:
            if address != "*":
                ipaddress.ip_network(address)
        except ValueError:
            raise ValueError(
                "--forwarded_allow_ips: expected IP addresses, networks or *, found "
                f"{address!r}"
            ) from None


def server_of(app: FastAPI, forwarded_allow_ips: Sequence[str] = ()) -> uvicorn.Server:
    """The server of an app, which does not run yet.

    Args:
        app: What to serve.
        forwarded_allow_ips: Addresses of the proxies whose X-Forwarded-For and
            X-Forwarded-Proto are believed; nobody's without any.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(forwarded_allow_ips),
            forwarded_allow_ips=list(forwarded_allow_ips),
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE,
            lifespan="on",
        )
    )


def run(
    app: FastAPI, listening: socket.socket, forwarded_allow_ips: Sequence[str] = ()
) -> None:
    """Serves until SIGTERM or SIGINT; what is being answered then is finished.

    The arguments are those of `server_of`, and a socket that listens.
    """
    server = server_of(app, forwarded_allow_ips)
    with _stopping(server), listening:
        server.run(sockets=[listening])


@contextmanager
def _stopping(server: uvicorn.Server) -> Iterator[None]:
    """Signals stop the server, also before it starts and after it ended.

    uvicorn has handlers of its own while it serves, and raises the signals again
    afterwards, which would end the process as if it had failed.
    """

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    previous = {
        number: signal.signal(number, stop)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
