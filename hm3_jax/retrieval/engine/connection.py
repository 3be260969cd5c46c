"""Where Qdrant is, and reaching it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hm3_jax.files.extras import how_to_install
from hm3_jax.retrieval.engine.embedded_folder import check_folder, folder_to_change

DEFAULT_COLLECTION = "hm3_museums"
DEFAULT_CANDIDATES = 256
# With it came what a collection says about itself; older ones have no many vectors.
_OLDEST = (1, 16)
# A comparison with every museum of a large collection may take long.
_SECONDS = 60
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """Where Qdrant is.

    Attributes:
        uri: "http://HOST:6333", or a folder for the embedded mode, which needs no
            server.
        token: API key, where Qdrant wants one.
        collection: How the names of collections begin.
        candidates: How many museums of many vectors are compared exactly for a query,
            at least 1; fewer where others cannot belong to the best.
    """

    uri: str
    token: str = ""
    collection: str = DEFAULT_COLLECTION
    candidates: int = DEFAULT_CANDIDATES

    def __post_init__(self) -> None:
        """Checks what can be checked here.

        Raises:
            ValueError: If name or URI are not as they have to be.
        """
        if not _NAME.fullmatch(self.collection):
            raise ValueError(
                "expected a collection's name of letters, digits and underscores, "
                f"found {self.collection!r}"
            )
        if "://" in self.uri and not _ADDRESS.fullmatch(self.uri):
            raise ValueError(
                "expected the URI of Qdrant, http://HOST:6333 or a folder, found "
                f"{self.uri!r}"
            )

    @property
    def embedded(self) -> bool:
        """Whether it is a folder, not a server."""
        return "://" not in self.uri


@contextlib.contextmanager
def connected(engine: Engine, *, make: bool = False) -> Iterator[Any]:
    """A client of Qdrant, while the context lasts.

    Args:
        engine: Where Qdrant is.
        make: Whether to make the folder of the embedded mode where there is none.

    Raises:
        FileNotFoundError: If the folder has to be there and is not.
        ValueError: If it holds something else, is damaged, or Qdrant is too old.
        ConnectionError: If Qdrant cannot be reached or refuses, or another process has
            the folder open.
        ModuleNotFoundError: If qdrant-client is not installed.
    """
    try:
        from qdrant_client import QdrantClient
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"qdrant-client is not installed: {how_to_install('qdrant')}"
        ) from None
    if engine.embedded:
        check_folder(Path(engine.uri), make=make)
    with said_by(engine), warnings.catch_warnings():
        # That a server is better for large collections, and that a key without
        # encryption can be read on the way: docs/search.md says so.
        warnings.filterwarnings("ignore", module="qdrant_client")
        warnings.filterwarnings("ignore", "Local mode|Api key|Payload indexes")
        client = (
            _open_folder(engine.uri)
            if engine.embedded
            else QdrantClient(
                url=engine.uri,
                api_key=engine.token or None,
                timeout=_SECONDS,
                # It would warn; the version is checked below.
                check_compatibility=False,
            )
        )
    try:
        with said_by(engine):
            _check_version(client.info().version, engine)
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def connected_to_change(engine: Engine) -> Iterator[Any]:
    """A client to change what Qdrant has; a folder is changed whole or not at all.

    Raises as `connected`, which may make the folder.
    """
    if not engine.embedded:
        with connected(engine) as client:
            yield client
        return
    folder = Path(engine.uri)
    with contextlib.ExitStack() as held:
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            held.enter_context(connected(engine))  # so that no other process does
        with folder_to_change(folder) as copy:
            of_copy = dataclasses.replace(engine, uri=str(copy))
            with connected(of_copy, make=True) as client:
                yield client


@contextlib.contextmanager
def said_by(engine: Engine) -> Iterator[None]:
    """Makes one line of what Qdrant's client raises, which names the URI.

    Raises:
        ConnectionError: If Qdrant cannot be reached or refuses.
    """
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import (
        ApiException,
        ResponseHandlingException,
        UnexpectedResponse,
    )

    try:
        yield
    except UnexpectedResponse as error:
        raise ConnectionError(f"{engine.uri}: Qdrant: {_reason(error)}") from error
    except ResponseHandlingException as error:
        raise ConnectionError(
            f"{engine.uri}: Qdrant cannot be reached: {_line(error.source)}"
        ) from error
    except (ApiException, QdrantException) as error:
        raise ConnectionError(f"{engine.uri}: Qdrant: {_line(error)}") from error


def _open_folder(folder: str) -> Any:
    from qdrant_client import QdrantClient

    try:
        # A server asks from several threads; nothing is written then.
        return QdrantClient(path=folder, force_disable_check_same_thread=True)
    except RuntimeError as error:
        if "already accessed" not in str(error):
            raise
        raise ConnectionError(
            f"{folder}: another process has this folder open, and Qdrant's embedded "
            "mode serves one at a time; use a server for several"
        ) from None
    except (ValueError, KeyError, TypeError, sqlite3.Error) as error:
        raise ValueError(
            f"{folder}: expected a folder that Qdrant's embedded mode can read, found "
            f"{_line(error)}"
        ) from error


def _check_version(version: str, engine: Engine) -> None:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or tuple(map(int, numbers.groups())) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise ValueError(
            f"{engine.uri}: expected Qdrant {oldest} or newer, found {version}"
        )


def _reason(error: Any) -> str:
    """What a server says about an answer that is an error."""
    if error.status_code in (401, 403):
        return f"{error.status_code} {error.reason_phrase}: --token is its API key"
    try:
        said = " ".join(error.structured()["status"]["error"].split())
    except (
        AttributeError,
        KeyError,
        TypeError,
        json.JSONDecodeError,
        UnicodeDecodeError,
    ):
        said = "expected Qdrant's JSON, found something else"
    return f"{error.status_code} {error.reason_phrase}: {said}"


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
