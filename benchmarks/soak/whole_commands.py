"""The lane of whole commands: killed, or given damaged artefacts."""

from __future__ import annotations

import dataclasses
import random
import shutil
import signal
from pathlib import Path

from benchmarks.soak import forked
from benchmarks.soak.damage import damage
from benchmarks.soak.equality import Digest, contents, difference
from benchmarks.soak.tally import Record
from benchmarks.soak.world import COMMANDS, Command, World

# With how often each is drawn, next to others.
_SIGNALS: dict[tuple[signal.Signals, ...], int] = {
    (signal.SIGKILL,): 4,
    (signal.SIGTERM,): 2,
    (signal.SIGINT,): 2,
    (signal.SIGSTOP, signal.SIGCONT): 1,
    (signal.SIGSTOP, signal.SIGKILL): 1,
}
# What people write themselves: another text is another text, whatever made it so.
TEXTS = {"list", "strategies"}
_NOT_DAMAGED = {"raw", "videos", "clip"}
# Commands of whose operations on files fewer are seen do their work in other processes.
_FEW = 5
# Seconds of a command that may have compiled programs.
_COMPILING = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """What a command leaves that nothing disturbs.

    Attributes:
        left: Contents of what it writes.
        names: In its folder, those of `in` too.
        out: What it says.
        seconds: How long it takes.
        operations: How many on files.
    """

    left: dict[str, dict[str, str]]
    names: set[str]
    out: str
    seconds: float
    operations: int


class WholeCommands:
    """Runs commands, and damages or kills them.

    Attributes:
        world: The artefacts.
        references: By name of a command.
    """

    def __init__(self, folder: Path, seed: int, digest: Digest):
        """Makes the artefacts, by every command once, in `folder`.

        Raises:
            SystemExit: A command that nothing disturbed has failed.
        """
        self.world = World(folder / "world")
        self._seed = seed
        self._digest = digest
        # The same for all, as some files name it.
        self._case = folder / "case"
        self.references: dict[str, Reference] = {}
        for name, command in COMMANDS.items():
            if command.can_run:
                self._make_half_done(name)
                self.references[name] = self._reference(name, command)

    def kill(self, number: int) -> tuple[Record, str] | None:
        """Kills a command and gives it again.

        Returns:
            What came of it, and the signals; None if it ended before they came.
        """
        draw = random.Random(f"{self._seed} kill {number}")
        name = self._drawn(draw, ("writes",))
        command, reference = COMMANDS[name], self.references[name]
        (signals,) = draw.choices(list(_SIGNALS), list(_SIGNALS.values()))
        moment: int | float = draw.uniform(0, reference.seconds)
        if reference.operations >= _FEW and draw.random() < 0.7:
            moment = draw.randrange(reference.operations)
        blow = forked.Blow(signals, moment)
        self._begin(command)
        first = forked.run(command.module, command.given(), self._case, blow)
        if not first.struck:
            return None
        again = forked.run(command.module, command.given(again=True), self._case)
        outcome, said = self._after(command, reference, first, again)
        way = " and ".join(sent.name for sent in signals)
        return Record("kills", number, name, str(blow), outcome, said), way

    def damage(self, number: int) -> tuple[Record, str]:
        """Gives a command a damaged artefact; what came of it, and the damage."""
        draw = random.Random(f"{self._seed} whole damage {number}")
        name = self._drawn(draw, ("writes", "reads", "verifies"), damaged=True)
        command = COMMANDS[name]
        artefact = draw.choice([a for a in command.reads if a not in _NOT_DAMAGED])
        self._begin(command)
        done = damage(
            self._case / "in" / artefact, draw, keep_times=draw.random() < 0.5
        )
        ended = forked.run(command.module, command.given(), self._case)
        outcome, said = self._of_damage(command, self.references[name], artefact, ended)
        if outcome == "silently wrong" and done.changes_no_value:
            outcome = "harmless"
        what = f"{artefact}: {name}"
        return Record("damages", number, what, done.said, outcome, said), done.kind

    def _drawn(
        self, draw: random.Random, kinds: tuple[str, ...], *, damaged: bool = False
    ) -> str:
        names = [
            name
            for name in self.references
            if COMMANDS[name].kind in kinds
            and not (damaged and set(COMMANDS[name].reads) <= _NOT_DAMAGED)
        ]
        return draw.choices(names, [COMMANDS[name].weight for name in names])[0]

    def _begin(self, command: Command) -> None:
        shutil.rmtree(self._case, ignore_errors=True)
        self.world.place(command, self._case)

    def _reference(self, name: str, command: Command) -> Reference:
        ended = self._undisturbed(name, command)
        if ended.seconds > _COMPILING:
            ended = self._undisturbed(name, command)
        self.world.keep(name, self._case)
        return Reference(
            self._left(command),
            self._names(),
            ended.out,
            ended.seconds,
            ended.operations,
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
        blow = forked.Blow((signal.SIGKILL,), reference.operations * 6 // 10)
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
        if not command.writes and ended.out != reference.out:
            differs = "it says otherwise"
        if not differs:
            return "harmless", ""
        if "warning: " in ended.err:
            return "noticed", ""
        if artefact in TEXTS:
            return "taken as an edit", ""
        return "silently wrong", differs
