"""A server that answers while its index is changed by commands that are killed."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request
from pathlib import Path

from benchmarks.soak.forked import LIMIT, Ended, Running

# Between questions: it is not to take the time of others.
_SECONDS = 0.2
_QUESTIONS = ("api/collection", "api/map", "api/like/museum00002")


class AskedServer:
    """A server, and whether it has always said the same."""

    def __init__(self, module: str, flags: list[str], folder: Path):
        """Starts it, and asks it for the first time.

        Raises:
            SystemExit: It did not start.
        """
        self._running = Running(module, flags, folder, name="server")
        self._differed, self._asked = "", 0.0
        try:
            self._address = self._found_address()
            self._wanted = self._answers()
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def ask_now_and_then(self) -> None:
        """Asks it if it was not asked just before."""
        if time.monotonic() - self._asked > _SECONDS:
            self.ask()
            self._asked = time.monotonic()

    def ask(self) -> None:
        """Asks it once more."""
        try:
            found = self._answers()
        except OSError as error:
            self._differed = self._differed or f"the server did not answer: {error}"
            return
        for question, wanted in self._wanted.items():
            if found[question] != wanted:
                self._differed = f"the server answers {question} otherwise"

    def end(self, sent: signal.Signals) -> tuple[str, Ended]:
        """Ends it by a signal.

        Returns:
            What was wrong with its answers or its end, in one line; and how it ended.
        """
        os.kill(self._running.process, sent)
        ended = self._running.end()
        wanted = -sent if sent == signal.SIGKILL else 0
        if not self._differed and ended.code != wanted:
            self._differed = f"the server ended with {ended.code}: {ended.err}"
        return self._differed, ended

    def _answers(self) -> dict[str, bytes]:
        found = {}
        for question in _QUESTIONS:
            where = f"{self._address}/{question}"
            with urllib.request.urlopen(where, timeout=LIMIT) as answer:
                found[question] = answer.read()
        return found

    def _found_address(self) -> str:
        begun = time.monotonic()
        while time.monotonic() - begun < LIMIT:
            found = re.search(r"http://\S+", self._running.out)
            if found is not None:
                return found[0]
            time.sleep(0.02)
        raise SystemExit("soak: the server did not start undisturbed")
