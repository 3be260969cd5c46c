"""The folder of an extraction that is under way: `STORE.extraction` beside the store.

| file | contents |
|---|---|
| `record.json` | what decides every feature: list, settings, model |
| `plan.json` | the distinct items and the museums they make up |
| `chunks/` | finished chunks |
| `SHARD.lock` | held while a process works on a shard |
| `former/` | the store that was added to, while the new one takes its place |

An extraction continues only with the same list, settings and model. If several
processes begin one at the same time, the first whose record gets its final name wins;
the others compare theirs with it. The folder is removed when the store is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hm3_jax.extraction.plan import Plan
from hm3_jax.files.differences import differences
from hm3_jax.files.durable import write_whole
from hm3_jax.files.json_files import read_object
from hm3_jax.files.locks import locked

FORMAT_VERSION = 1
_RECORD, _PLAN, _CHUNKS = "record.json", "plan.json", "chunks"
_FORMER = "former"


class WorkFolder:
    """What is kept between the processes of one extraction.

    Attributes:
        path: The folder.
        chunks: Folder of the finished chunks.
    """

    def __init__(self, output: Path):
        """Names the folder of the store `output`; makes nothing."""
        if not output.name:  # "."
            output = output.absolute()
        self.path = output.with_name(f"{output.name}.extraction")
        self.chunks = self.path / _CHUNKS

    def begin(self, facts: Mapping[str, Any], plan: Callable[[], Plan]) -> Plan:
        """Begins an extraction, or continues the one that is there.

        Args:
            facts: What decides every feature (JSON values).
            plan: Makes the plan, if there is none yet.

        Returns:
            The plan.

        Raises:
            ValueError: What was begun differs in a fact, which is named with both
                values.
        """
        made: Plan | None = None
        if self.record() is None:
            made = plan()
            text = made.to_json().encode()
            self.chunks.mkdir(parents=True, exist_ok=True)
            self._claim(
                {
                    "format_version": FORMAT_VERSION,
                    "facts": facts,
                    "plan_sha256": hashlib.sha256(text).hexdigest(),
                }
            )
        self.check(facts)
        if not (self.path / _PLAN).exists():
            # Of the same facts, and so of the same bytes, whoever writes it.
            text = (made or plan()).to_json().encode()
            write_whole(self.path / _PLAN, text)
        return self.plan()

    def _claim(self, record: Mapping[str, Any]) -> None:
        """Makes a record the folder's, unless another process was faster."""
        temporary = self.path / f".{_RECORD}.{uuid.uuid4().hex}"
        write_whole(temporary, json.dumps(record, indent=1).encode())
        try:
            # Unlike a rename, it fails if the name is taken; unlike a lock, it holds
            # between machines.
            os.link(temporary, self.path / _RECORD)
        except FileExistsError:
            pass
        except OSError:  # no such links here
            if self.record() is None:
                os.replace(temporary, self.path / _RECORD)
        temporary.unlink(missing_ok=True)

    def check(self, facts: Mapping[str, Any]) -> None:
        """Refuses facts that differ from those the extraction was begun with.

        Args:
            facts: The facts to compare; those left out are not compared.

        Raises:
            FileNotFoundError: Nothing was begun.
            ValueError: A fact differs.
        """
        record = self.record()
        if record is None:
            raise FileNotFoundError(
                f"{self.path}: expected the folder of an extraction, found none"
            )
        # Through JSON, which has no tuples.
        given = json.loads(json.dumps(facts))
        for name, before, now in differences(record["facts"], given, given=True):
            raise ValueError(
                f"{self.path}: begun with {name} {before!r}, found {now!r}: give the "
                "same again, name another --output, or remove the folder"
            )

    def record(self) -> dict[str, Any] | None:
        """What the extraction was begun with, or None if it was not.

        Raises:
            ValueError: A newer version of hm3_jax began it.
        """
        path = self.path / _RECORD
        if not path.exists():
            return None
        record = read_object(path, ("format_version", "facts", "plan_sha256"))
        if record["format_version"] != FORMAT_VERSION:
            raise ValueError(
                f"{path}: expected format version {FORMAT_VERSION}, found "
                f"{record['format_version']}"
            )
        return record

    def plan(self) -> Plan:
        """The plan that was made when the extraction began.

        Raises:
            ValueError: The file is damaged.
        """
        record = self.record()
        text = (self.path / _PLAN).read_bytes()
        if record is None or hashlib.sha256(text).hexdigest() != record["plan_sha256"]:
            raise ValueError(
                f"{self.path / _PLAN}: expected the bytes that were written, found "
                "others; remove the folder to start again"
            )
        return Plan.from_json(text, self.path / _PLAN)

    def mark(self) -> str:
        """A checksum of the record, which chunks and store carry."""
        return hashlib.sha256((self.path / _RECORD).read_bytes()).hexdigest()

    def is_left_of(self, mark: object) -> bool:
        """Whether this is what is left after the store with this mark was made."""
        if self.record() is not None:
            return self.mark() == mark
        # Killed between the last two steps of `remove`.
        return self.path.is_dir() and not any(self.path.iterdir())

    @contextlib.contextmanager
    def locked(self, index: int, shards: int) -> Iterator[None]:
        """Keeps other processes of this machine from working on the same shard.

        Raises:
            RuntimeError: One does.
        """
        path = self.path / f"shard-{index}-of-{shards}.lock"
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(path))
            except BlockingIOError:
                raise RuntimeError(
                    f"{path}: another process works on this shard"
                ) from None
            yield

    def put_in_place(self, finished: Path, output: Path) -> None:
        """Makes a finished store the output; one that is there goes into the folder.

        Raises:
            FileExistsError: There is a store that this extraction did not begin with.
        """
        if output.exists():
            if self.former() is None:
                raise FileExistsError(
                    f"{output}: made by another process in the meantime"
                )
            shutil.rmtree(self.path / _FORMER, ignore_errors=True)
            os.rename(output, self.path / _FORMER)
        os.rename(finished, output)

    def former(self) -> dict[str, Any] | None:
        """Facts of the finished store that the extraction adds to, if it does."""
        record = self.record()
        return None if record is None else record["facts"].get("former")

    def restore(self, output: Path) -> None:
        """Gives a store its place back, if a process ended while it had none."""
        if (self.path / _FORMER).is_dir() and not output.exists():
            os.rename(self.path / _FORMER, output)

    def remove(self) -> None:
        """Removes the folder, what tells whose it is last."""
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != _RECORD:
                entry.unlink()
        shutil.rmtree(self.path)
