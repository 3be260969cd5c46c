"""Museums found by the words of their titles and descriptions.

SQLite's full-text search (FTS5) compares words by their stems, without diacritics, and
ranks museums by BM25. An index keeps what it needs in one file: the postings, not the
texts, which are among the index's details.
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import weakref
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Any, NamedTuple, Self

from hm3_jax.files.words import telling_words

_TOKENS = "tokenize='porter unicode61 remove_diacritics 2'"
# A word that so many museums have, and more than half of them, tells none from others.
_COMMON = 20
# A longer query is searched by its first words; the time grows with their number.
_MOST_WORDS = 64
# Words stand together with at most so many others between the first and the last, or as
# many as the query itself has. FTS5's own choice.
_TOGETHER = 10
# A museum with less than this share of the best one's BM25 has small words only.
_LEAST = 0.25
# Museums of which is asked at a time whether they count.
_ASKED = 256
# Around what matches in a text; no text that is searched has them.
_FIRST, _LAST = "\x02", "\x03"
_MARKS = {ord(_FIRST): None, ord(_LAST): None}
# Words of a text that are shown around those that match.
_SHOWN = 32


class Told(NamedTuple):
    """What there is to read about a museum.

    Attributes:
        id: Of the museum.
        title: Its name for people; empty where it has none.
        description: Sentences; none where they are not known.
    """

    id: str
    title: str
    description: Sequence[str]

    @classmethod
    def of(cls, museum: str, detail: Mapping[str, Any]) -> Self:
        """What an index's details tell of a museum."""
        return cls(museum, detail.get("title") or "", detail.get("description", []))


class Found(NamedTuple):
    """Museums that words have found.

    Attributes:
        rows: Of the museums, best first: those that have all the words together, as
            one sentence has them, come before the others.
        together: How many of them do.
    """

    rows: list[int]
    together: int


def write_words(path: Path, museums: Iterable[Told]) -> bool:
    """Writes what `Words` searches.

    Args:
        path: File to make.
        museums: In the order of the index.

    Returns:
        Whether any museum has a description; without any no file is left.

    Raises:
        OSError: If the disk did not take it.
    """
    described = count = 0

    def rows() -> Iterator[tuple[int, str, str, str]]:
        nonlocal described, count
        for told in museums:
            yield count, told.id, told.title, "\n".join(told.description)
            described += bool(told.description)
            count += 1

    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
            # A file that is not finished is thrown away as a whole.
            file.execute("PRAGMA journal_mode = OFF")
            file.execute("PRAGMA synchronous = OFF")
            file.execute("BEGIN")
            file.execute(
                "CREATE VIRTUAL TABLE words USING "
                f"fts5(id, title, description, content='', {_TOKENS})"
            )
            file.executemany(
                "INSERT INTO words(rowid, id, title, description) VALUES (?, ?, ?, ?)",
                rows(),
            )
            file.execute("INSERT INTO words(words) VALUES ('optimize')")
            file.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, row)")
            file.execute("CREATE TABLE common(term PRIMARY KEY) WITHOUT ROWID")
            file.execute(
                "INSERT INTO common SELECT term FROM terms WHERE doc > ?",
                [max(count / 2, _COMMON)],
            )
            file.execute("DROP TABLE terms")
            file.execute(f"PRAGMA user_version = {count}")
            file.execute("COMMIT")
    except sqlite3.OperationalError as error:
        full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
        code = errno.ENOSPC if full else errno.EIO
        raise OSError(code, str(error), str(path)) from error
    if not described:
        path.unlink()
    return described > 0


class Words:
    """Finds museums of an index by words; for one thread at a time."""

    def __init__(self, database: sqlite3.Connection):
        """Takes what `write_words` has written; `open` and `of_bytes` open it."""
        self._database = database
        self._known: tuple[str, list[str]] = ("", [])
        # Closed by whoever drops this, since an index is not closed either.
        weakref.finalize(self, database.close)
        database.execute("PRAGMA temp_store = MEMORY")
        database.execute(
            "CREATE VIRTUAL TABLE temp.texts USING "
            f"fts5(number UNINDEXED, text, {_TOKENS})"
        )
        database.execute(
            "CREATE VIRTUAL TABLE temp.tokens USING fts5vocab(temp, texts, instance)"
        )

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a file, which stays usable when it is removed.

        Raises:
            OSError: If it is missing or cannot be read.
        """
        address = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        try:
            database = sqlite3.connect(
                address, uri=True, isolation_level=None, check_same_thread=False
            )
        except sqlite3.OperationalError as error:
            # SQLite does not say which it is; the system does.
            path.open("rb").close()
            raise OSError(errno.EIO, str(error), str(path)) from error
        return cls(database)

    @classmethod
    def of_bytes(cls, content: bytes | memoryview) -> Self:
        """Takes the content of a file into memory."""
        database = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False
        )
        database.deserialize(content)
        return cls(database)

    def __len__(self) -> int:
        """Number of museums."""
        return self._database.execute("PRAGMA user_version").fetchone()[0]

    def find(
        self,
        text: str,
        most: int,
        allowed: Callable[[Sequence[int]], Collection[int]] = set,
    ) -> Found:
        """Finds the museums whose words match a text.

        Of those with all the words together, and of the others, the better by BM25 come
        first; those with less than a quarter of the best one's are left out.

        Args:
            text: Anything; no character of it has a meaning of its own.
            most: How many museums at most.
            allowed: Which of some museums count; asked for as many as it takes.

        Raises:
            RuntimeError: If the index's file is damaged.
        """
        with self._damage_named():
            parts = self._parts(text)
            if not parts:
                return Found([], 0)
            near = max(_TOGETHER, len(text.split()))
            phrases = " ".join(map(_quoted, parts))
            rows = self._ranked(f"NEAR({phrases}, {near})", most, allowed)
            together = len(rows)
            if len(parts) > 1 and together < most:
                others = self._ranked(_any_of(parts), most, allowed)
                rows = list(dict.fromkeys([*rows, *others]))[:most]
        return Found(rows, together)

    def _ranked(
        self,
        query: str,
        most: int,
        allowed: Callable[[Sequence[int]], Collection[int]],
    ) -> list[int]:
        """Rows that match a query of FTS5, the best by BM25 first."""
        found: list[int] = []
        ranked = self._database.execute(
            "SELECT rowid, -bm25(words) AS score FROM words WHERE words MATCH ? "
            "ORDER BY score DESC, rowid",
            [query],
        )
        least = None
        while len(found) < most and (some := ranked.fetchmany(_ASKED)):
            least = _LEAST * some[0][1] if least is None else least
            near = [row for row, score in some if score >= least]
            counting = allowed(near)
            found += [row for row in near if row in counting]
            if len(near) < len(some):
                break
        return found[:most]

    def passages(
        self, text: str, museums: Mapping[int, Told]
    ) -> dict[int, tuple[str, ...]]:
        """Where the words of a text stand in what is told of museums.

        Args:
            text: As for `find`.
            museums: What is told of them, by any number.

        Returns:
            For each museum that has any of the words, the sentence (a part of it, if it
            is long) that has all of them, or else matches best. It is cut before and
            after what matches: every other piece, from the second on, matches.

        Raises:
            RuntimeError: If the index's file is damaged.
        """
        with self._damage_named():
            parts = self._parts(text)
            if not parts:
                return {}
            query = _any_of(parts)
            lines = [
                (number, line.translate(_MARKS))
                for number, told in museums.items()
                for line in (told.id, told.title, *told.description)
            ]
            best: dict[int, int] = {}
            with self._held(lines):
                # One with all the words says more than one with a rare word twice.
                for asked in (" AND ".join(map(_quoted, parts)), query):
                    for number, row in self._database.execute(
                        "SELECT number, rowid FROM temp.texts WHERE texts MATCH ? "
                        "ORDER BY rank, rowid",
                        [asked],
                    ):
                        best.setdefault(number, row)
                # Of the best alone, as passages take longer than ranks.
                passages = self._database.execute(
                    "SELECT number, snippet(texts, 1, ?, ?, '\u2026', ?) "
                    "FROM temp.texts WHERE texts MATCH ? AND rowid IN "
                    f"({','.join(map(str, best.values()))})",
                    [_FIRST, _LAST, _SHOWN, query],
                ).fetchall()
        return {
            number: tuple(passage.replace(_LAST, _FIRST).split(_FIRST))
            for number, passage in passages
        }

    def share(self, text: str, passage: Sequence[str]) -> float:
        """How much of what `find` looks for is in a passage, from 0 to 1."""
        with self._damage_named():
            parts = self._parts(text)
        found = {piece.lower() for piece in passage[1::2]}
        return min(len(found) / max(len(parts), 1), 1.0)

    def _parts(self, text: str) -> list[str]:
        """What stands between blanks and tells museums apart."""
        # The same text is asked for again when it is answered.
        if self._known[0] != text:
            self._known = (text, self._split(text))
        return self._known[1]

    def _split(self, text: str) -> list[str]:
        parts = list(dict.fromkeys(text.split()))
        with self._held(enumerate(parts)):
            tokens = self._database.execute(
                "SELECT texts.number, tokens.term IN (SELECT term FROM main.common) "
                "FROM temp.tokens JOIN temp.texts ON texts.rowid = tokens.doc"
            ).fetchall()
        says = {number for number, _ in tokens}
        telling = {number for number, common in tokens if not common}
        telling -= {i for i, part in enumerate(parts) if not telling_words(part)}
        # Where all are common, they are all there is to go by.
        chosen = telling or says
        return [part for i, part in enumerate(parts) if i in chosen][:_MOST_WORDS]

    @contextlib.contextmanager
    def _held(self, texts: Iterable[tuple[int, str]]) -> Iterator[None]:
        """Has texts in the table of texts while the context lasts."""
        self._database.execute("BEGIN")
        try:
            self._database.executemany(
                "INSERT INTO temp.texts(number, text) VALUES (?, ?)", texts
            )
            yield
        finally:
            self._database.execute("ROLLBACK")

    @contextlib.contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # Not a ValueError, which would blame whoever asked.
            raise RuntimeError(
                f"words of the index: damaged: {error}; build_index --verify checks "
                "the whole index"
            ) from None


def _any_of(parts: Sequence[str]) -> str:
    """The query of FTS5 for any of some phrases; empty if there are none."""
    return " OR ".join(map(_quoted, parts))


def _quoted(phrase: str) -> str:
    """A phrase of FTS5, in which nothing is an operator."""
    return '"' + phrase.replace('"', '""') + '"'
