"""What was found: records of actions, their sums, and files of them."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

Lane = Literal["kills", "damages"]
OUTCOMES: dict[Lane, tuple[str, ...]] = {
    "kills": ("equal", "wrong", "refused for good", "leftovers", "traceback", "hung"),
    "damages": (
        "noticed",
        "harmless",
        "taken as an edit",
        "silently wrong",
        "traceback",
        "hung",
    ),
}
"""What may come of an action; those after the good ones are faults."""
GOOD = {"equal", "noticed", "harmless", "taken as an edit"}


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One action.

    Attributes:
        lane: Whether something was killed or damaged.
        number: Of the action, from 0; with the seed, it says which.
        what: The command that was killed; or what was damaged, and who read it.
        how: The blow or damage.
        outcome: One of `OUTCOMES`.
        said: Details of a fault.
        whole: Whether a whole command was run.
        files: Kinds of the files that were damaged, each after its artefact.
        left: What a kill left of the files that the command makes: "none", "some" or
            "all".
    """

    lane: Lane
    number: int
    what: str
    how: str
    outcome: str
    said: str = ""
    whole: bool = True
    files: tuple[str, ...] = ()
    left: str = ""


class Tally:
    """Counts records, and keeps faults."""

    def __init__(self, files: Iterable[str] = ()) -> None:
        """Begins with nothing.

        Args:
            files: Kinds of files that there are to be damaged.
        """
        self.files = Counter(dict.fromkeys(files, 0))
        self.left: dict[str, Counter[str]] = {}
        self.counts: dict[Lane, Counter[tuple[str, str]]] = {
            "kills": Counter(),
            "damages": Counter(),
        }
        self.ways: dict[Lane, Counter[str]] = {"kills": Counter(), "damages": Counter()}
        self.whole = 0
        self.faults: list[Record] = []

    def add(self, record: Record, way: str) -> None:
        """Counts one; `way` is the kind of signal or damage."""
        self.counts[record.lane][record.what, record.outcome] += 1
        self.ways[record.lane][way] += 1
        self.files.update(record.files)
        if record.left:
            self.left.setdefault(record.what, Counter())[record.left] += 1
        if record.lane == "damages" and record.whole:
            self.whole += 1
        if record.outcome not in GOOD:
            self.faults.append(record)

    def total(self, lane: Lane, outcome: str | None = None) -> int:
        """Actions of a lane, all or those of one outcome."""
        return sum(
            count
            for (_, found), count in self.counts[lane].items()
            if outcome in (None, found)
        )

    @property
    def code(self) -> int:
        """Exit code: 1 if damages found a fault, 3 if only kills did, else 0."""
        lanes = {fault.lane for fault in self.faults}
        return 1 if "damages" in lanes else 3 if lanes else 0

    def line(self) -> str:
        """All of it in one line."""
        parts = []
        for lane, outcomes in OUTCOMES.items():
            shown = [f"{self.total(lane, of)} {of}" for of in outcomes]
            parts.append(f"{self.total(lane)} {lane}: {', '.join(shown)}")
        return "; ".join(parts)

    def markdown(self) -> str:
        """A table for each lane."""
        lines = []
        for lane, outcomes in OUTCOMES.items():
            head = "command" if lane == "kills" else "damaged, and read by"
            lines += [f"| {head} | {lane} | " + " | ".join(outcomes) + " |"]
            lines += ["|---" * (len(outcomes) + 2) + "|"]
            for what in sorted({what for what, _ in self.counts[lane]}):
                of = [self.counts[lane][what, outcome] for outcome in outcomes]
                lines.append(
                    f"| {what} | {sum(of)} | " + " | ".join(map(str, of)) + " |"
                )
            of = [self.total(lane, outcome) for outcome in outcomes]
            lines.append(_row("all", of))
            ways = ", ".join(f"{n} {way}" for way, n in sorted(self.ways[lane].items()))
            lines += ["", f"{ways or 'none'}.", ""]
        lines.append(f"{self.whole} of the damages were read by whole commands.")
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes `soak.json` and `soak.md`."""
        folder.mkdir(parents=True, exist_ok=True)
        counts = {
            lane: [
                {"what": what, "outcome": outcome, "count": count}
                for (what, outcome), count in sorted(counted.items())
            ]
            for lane, counted in self.counts.items()
        }
        value = about | {
            "counts": counts,
            "ways": self.ways,
            "damages_read_by_whole_commands": self.whole,
            "kills_by_what_they_left": dict(sorted(self.left.items())),
            "damages_by_file": dict(sorted(self.files.items())),
            "faults": [dataclasses.asdict(fault) for fault in self.faults],
        }
        (folder / "soak.json").write_text(json.dumps(value, indent=1) + "\n")
        said = ", ".join(f"{key} {value}" for key, value in about.items())
        faults = "".join(
            f"* {fault.lane} {fault.number}: {fault.what}: {fault.how}: "
            f"{fault.outcome}: {fault.said}\n"
            for fault in self.faults
        )
        text = f"{said}\n\n{self.markdown()}\n{faults or 'No faults.'}\n"
        (folder / "soak.md").write_text(text)


def _row(what: str, counts: Sequence[int]) -> str:
    return f"| {what} | {sum(counts)} | " + " | ".join(map(str, counts)) + " |"
