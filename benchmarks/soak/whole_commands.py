"""The lane of whole commands: killed, or given damaged artefacts."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
from pathlib import Path

from benchmarks.soak import forked
from benchmarks.soak.beside_server import AskedServer
from benchmarks.soak.commands import COMMANDS, INPUTS, TEXTS, Command
from benchmarks.soak.coverage import left_alone
from benchmarks.soak.damage import damage
from benchmarks.soak.equality import Digest, contents, difference
from benchmarks.soak.moments import drawn_blow
from benchmarks.soak.tally import Record
from benchmarks.soak.world import World

# What is killed while its index is served.
_CHANGES = {"serve": "build_index --append", "serve late": "build_index late --append"}


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """What a command leaves that nothing disturbs.

    Attributes:
        left: Contents of what it writes.
        names: In its folder, those of `in` too.
        ended: How it ended.
    """

    left: dict[str, dict[str, str]]
    names: set[str]
    ended: forked.Ended


class WholeCommands:
    """Runs commands, and damages or kills them.

    Attributes:
        world: The artefacts.
        references: By name of a command.
    """

    def __init__(self, folder: Path, seed: int, digest: Digest):
        """Makes the artefacts, by every command once, in `folder`.

        Raises:
            SystemExit: A command that nothing disturbed has failed, or one leaves files
                that are not damaged.
        """
        self.world = World(folder / "world")
        self._seed = seed
        self._digest = digest
        # The same for all, as some files name it.
        self._case = folder / "case"
        self.references: dict[str, Reference] = {}
        for name, command in COMMANDS.items():
            if command.can_run and command.kind != "serves":
                self._make_half_done(name)
                self.references[name] = self._reference(name, command)
        left = {name: of.left for name, of in self.references.items()}
        if alone := left_alone(self.world.path, left):
            raise SystemExit(f"soak: no damage is done to {', '.join(alone)}")

    def kill(self, number: int) -> tuple[Record, str] | None:
        """Kills a command and gives it again.

        Returns:
            What came of it, and the signals; None if it ended before they came.
        """
        draw = random.Random(f"{self._seed} kill {number}")
        name = self._drawn(draw, ("writes", "serves"))
        if COMMANDS[name].kind == "serves":
            return self._kill_beside(name, number, draw)
        command, reference = COMMANDS[name], self.references[name]
        blow = drawn_blow(draw, reference.ended)
        self._begin(command)
        first = forked.run(command.module, command.given(), self._case, blow)
        if not first.struck:
            return None
        there = self._there(reference)
        again = forked.run(command.module, command.given(again=True), self._case)
        outcome, said = self._after(command, reference, first, again)
        way = " and ".join(sent.name for sent in blow.signals)
        record = Record("kills", number, name, str(blow), outcome, said, left=there)
        return record, way

    def _kill_beside(
        self, name: str, number: int, draw: random.Random
    ) -> tuple[Record, str] | None:
        """Kills a change of an index that a server has loaded, and ends the server."""
        change = _CHANGES[name]
        command, reference = COMMANDS[change], self.references[change]
        blow = drawn_blow(draw, reference.ended)
        self._begin(command)
        server = AskedServer(COMMANDS[name].module, COMMANDS[name].given(), self._case)
        first = forked.Running(command.module, command.given(), self._case, blow).end(
            server.ask_now_and_then
        )
        again = forked.run(command.module, command.given(), self._case)
        server.ask()
        end = draw.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
        differed, ended = server.end(end)
        if not first.struck:
            return None
        outcome, said = self._after(command, reference, first, again)
        if outcome == "equal" and (differed or ended.has_traceback):
            outcome, said = "wrong", differed or ended.err
        way = " and ".join(sent.name for sent in blow.signals)
        return Record(
            "kills", number, f"{name}, {change}", str(blow), outcome, said
        ), way

    def damage(self, number: int) -> tuple[Record, str]:
        """Gives a command a damaged artefact; what came of it, and the damage."""
        draw = random.Random(f"{self._seed} whole damage {number}")
        name = self._drawn(draw, ("writes", "reads", "verifies"), damaged=True)
        command = COMMANDS[name]
        artefact = draw.choice([a for a in command.reads if a not in INPUTS])
        self._begin(command)
        done = damage(
            self._case / "in" / artefact, draw, keep_times=draw.random() < 0.5
        )
        ended = forked.run(command.module, command.given(), self._case)
        outcome, said = self._of_damage(command, self.references[name], artefact, ended)
        if outcome == "silently wrong" and done.changes_no_value:
            outcome = "harmless"
        what = f"{artefact}: {name}"
        files = done.files_in(artefact)
        record = Record("damages", number, what, done.said, outcome, said, files=files)
        return record, done.kind

    def _drawn(
        self, draw: random.Random, kinds: tuple[str, ...], *, damaged: bool = False
    ) -> str:
        names = [
            name
            for name, command in COMMANDS.items()
            if command.can_run
            and command.kind in kinds
            and not (damaged and set(COMMANDS[name].reads) <= INPUTS)
        ]
        return draw.choices(names, [COMMANDS[name].weight for name in names])[0]

    def _begin(self, command: Command) -> None:
        shutil.rmtree(self._case, ignore_errors=True)
        self.world.place(command, self._case)

    def _reference(self, name: str, command: Command) -> Reference:
        before = _programs()
        ended = self._undisturbed(name, command)
        if _programs() > before:  # it was slower than it will be
            ended = self._undisturbed(name, command)
        self.world.keep(name, self._case)
        return Reference(
            self._left(command),
            self._names(),
            ended,
        )

    def _undisturbed(self, name: str, command: Command) -> forked.Ended:
        self._begin(command)
        ended = forked.run(command.module, command.given(), self._case)
        if ended.code:
            raise SystemExit(f"soak: {name} failed undisturbed: {ended.err}")
        return ended

    def _make_half_done(self, name: str) -> None:
        """Makes what a command goes on from: another that was killed."""
        first = {"train --resume": "train", "extract, going on": "extract"}.get(name)
        if first is None:
            return
        command, reference = COMMANDS[first], self.references[first]
        self._begin(command)
        middle = len(reference.ended.operations) * 6 // 10
        blow = forked.Blow((signal.SIGKILL,), middle)
        forked.run(command.module, command.given(), self._case, blow)
        if first == "train":
            shutil.copytree(self._case / "runs", self.world.path / "half")
        else:
            work = self.world.path / "work"
            work.mkdir()
            shutil.copytree(self._case / "store.extraction", work / "store.extraction")

    def _left(self, command: Command) -> dict[str, dict[str, str]]:
        return {
            name: contents(self._case / name, self._digest)
            for name in command.writes
            if (self._case / name).exists()
        }

    def _there(self, reference: Reference) -> str:
        """How many of the files that a command makes are there."""
        wanted = [
            self._case / output / name
            for output, names in reference.left.items()
            for name in names
        ]
        there = sum(path.exists() for path in wanted)
        return "none" if not there else "all" if there == len(wanted) else "some"

    def _names(self) -> set[str]:
        return {
            str(path.relative_to(self._case))
            for folder in (self._case, self._case / "in")
            for path in folder.iterdir()
        }

    def _differs(self, command: Command, reference: Reference) -> str:
        left = self._left(command)
        said = [
            f"no {name}" if name not in left else difference(wanted, left[name])
            for name, wanted in reference.left.items()
        ]
        return "; ".join(filter(None, said))

    def _after(
        self,
        command: Command,
        reference: Reference,
        first: forked.Ended,
        again: forked.Ended,
    ) -> tuple[str, str]:
        """What came of a command that was killed and given again."""
        for ended in (first, again):
            if ended.hung:
                return "hung", ended.err
            if ended.has_traceback:
                return "traceback", ended.err
        differs = self._differs(command, reference)
        if differs and again.code:
            return "refused for good", f"{again.err.strip()} ({differs})"
        hidden = sorted(
            str(path.relative_to(self._case))
            for path in self._case.rglob(".*")
            if not any(
                str(path.relative_to(self._case / name)) in wanted
                for name, wanted in reference.left.items()
                if path.is_relative_to(self._case / name)
            )
        )
        more = sorted(self._names() - reference.names)
        if hidden or more:
            return "leftovers", ", ".join({*hidden, *more})
        if differs:
            return "wrong", differs
        return "equal", ""

    def _of_damage(
        self,
        command: Command,
        reference: Reference,
        artefact: str,
        ended: forked.Ended,
    ) -> tuple[str, str]:
        if ended.hung:
            return "hung", ended.err
        if ended.has_traceback or ended.code < 0:
            return "traceback", f"exit code {ended.code}: {ended.err}"
        if ended.code:
            return "noticed", ""
        if command.kind == "verifies":
            return "silently wrong", "it verifies"
        differs = self._differs(command, reference)
        if not command.writes and ended.out != reference.ended.out:
            differs = "it says otherwise"
        if not differs:
            return "harmless", ""
        if "warning: " in ended.err:
            return "noticed", ""
        if artefact in TEXTS:
            return "taken as an edit", ""
        return "silently wrong", differs


def _programs() -> int:
    """How many compiled programs there are."""
    folder = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    return len(list(folder.iterdir())) if folder.is_dir() else 0
