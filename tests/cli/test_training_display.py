"""What training shows, on a terminal and elsewhere."""

import dataclasses
import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    contextmanager,
    redirect_stderr,
    redirect_stdout,
)
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.cli.training_display import Wording, display, pace_of
from hm3_jax.learn.devices import processes
from hm3_jax.learn.saved import run_folder
from hm3_jax.learn.saved.run_folder import TryResult
from hm3_jax.learn.training.experiment import Experiment, Listeners
from hm3_jax.learn.training.run_logs import EpochReport
from hm3_jax.nn.strategy import TowersConfig
from tests.learn import small

EXPERIMENTS = [
    Experiment(
        strategies=[small.FLAT, small.BY_ROOM],
        settings=small.SETTINGS,
        folder=Path(name),
        name=name,
    )
    for name in ("one", "other")
]
LONG = "long " * 30
WORDING = Wording(
    strategy=lambda config, runs: f"\n{config.file_stem}: {runs} runs",
    epoch=lambda report: f"  epoch {report.epoch} of {report.epochs}",
    test=lambda experiment, config, results: [
        f"  {experiment.name} [bold]/tmp/x[/] {LONG}{len(results)}",
        "  2nd line",
    ],
)
NONE = np.zeros((1, 1), np.float32)
RESULTS = [TryResult(1, 3, run_folder.Tested({}, NONE, NONE))]


class Terminal(io.StringIO):
    """Looks like one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch) -> Callable[..., AbstractContextManager[Terminal]]:
    """Makes a terminal and shows it stdout and stderr, while a context lasts."""

    @contextmanager
    def terminal(columns: int = 80, kind: str = "xterm") -> Iterator[Terminal]:
        monkeypatch.setenv("TERM", kind)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", "40")
        shown = Terminal()
        with redirect_stdout(shown), redirect_stderr(shown):
            yield shown

    return terminal


def report(epoch: int, runs: int = 2) -> EpochReport:
    return EpochReport(
        epoch=epoch,
        epochs=5,
        runs=["run"] * runs,
        train_loss=[0.25, 0.75][:runs],
        val_loss=[1.0, 1.5][:runs],
        val_metrics=[{"t2s_R@10": 10.0}, {"t2s_R@10": 20.0}][:runs],
        museums_per_second=12345.6,
    )


def train(listeners: Listeners) -> None:
    """As two experiments of two strategies would."""
    for config in (small.FLAT, small.BY_ROOM):
        listeners.strategy(config, 4)
        for epoch in range(1, 6):
            listeners.epoch(report(epoch))
        for experiment in EXPERIMENTS:
            listeners.tested(experiment, config, RESULTS)


def begun(config: TowersConfig) -> list[str]:
    return ["", f"{config.file_stem}: 4 runs"]


EPOCHS = [f"  epoch {epoch} of 5" for epoch in range(1, 6)]
TESTS = [
    line
    for name in ("one", "other")
    for line in (f"  {name} [bold]/tmp/x[/] {LONG}1", "  2nd line")
]


@pytest.mark.parametrize("kind", ["auto", "lines"])
def test_what_is_no_terminal_gets_lines(capsys, kind):
    with display(kind, WORDING, EXPERIMENTS) as listeners:
        train(listeners)
    lines = [
        begun(config) + ["  compiling"] + EPOCHS + TESTS
        for config in (small.FLAT, small.BY_ROOM)
    ]
    shown = capsys.readouterr()
    assert shown.out == "".join(f"{line}\n" for line in lines[0] + lines[1])
    assert shown.err == ""


def test_compiling_is_no_part_of_the_speed():
    assert pace_of(report(2)) == "12,346 museums/s"
    first = dataclasses.replace(report(1), compile_seconds=12.34)
    assert pace_of(first) == "12,346 museums/s, after 12.3 s of compiling"


def test_none_is_the_tests_alone(capsys):
    with display("none", WORDING, EXPERIMENTS) as listeners:
        train(listeners)
    assert capsys.readouterr().out.splitlines() == TESTS * 2


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(terminal):
    with (
        terminal(kind="dumb") as shown,
        display("auto", WORDING, EXPERIMENTS) as listeners,
    ):
        train(listeners)
    assert "\x1b" not in shown.getvalue() and EPOCHS[4] in shown.getvalue()


def test_a_process_that_does_not_write_shows_no_bars(terminal, monkeypatch):
    monkeypatch.setattr(processes, "is_writer", lambda: False)
    with terminal() as shown, display("bars", WORDING, EXPERIMENTS):
        pass
    assert shown.getvalue() == ""


def test_bars_leave_the_lines_and_nothing_else(terminal):
    """Warnings and prints between them are whole lines, too."""
    with terminal() as shown:
        with display("auto", WORDING, EXPERIMENTS) as listeners:
            print("before")
            train(listeners)
            print("warning: /tmp/[x] is odd", file=sys.stderr)
            train(listeners)
        print("after")
    text = shown.getvalue()
    # The cursor is hidden once and shown again.
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    tests = [part for line in TESTS for part in wrapped(line)]
    lines = [begun(config) + tests for config in (small.FLAT, small.BY_ROOM)]
    once = lines[0] + lines[1]
    wanted = ["before", *once, "warning: /tmp/[x] is odd", *once, "after"]
    assert screen(text) == wanted


@pytest.mark.parametrize("columns", [50, 80, 120])
def test_bars_say_where_training_is(terminal, columns):
    with (
        terminal(columns) as sent,
        display("bars", WORDING, EXPERIMENTS) as listeners,
    ):

        def rows() -> list[str]:
            """The last three after a refresh."""
            live = listeners.epoch.__self__.live  # type: ignore
            live.refresh()
            shown = screen(sent.getvalue(), columns)
            assert all(len(row) <= columns for row in shown)
            return shown[-3:]

        listeners.strategy(small.FLAT, 4)
        first, second, third = rows()
        assert first.startswith("strategies ") and " 0/2 " in first
        assert second.startswith("rnn_mean") and " 0/? " in second
        assert third == "compiling"
        # Three epochs had been trained before.
        for epoch in (4, 5):
            listeners.epoch(report(epoch))
            _, second, third = rows()
            assert f" {epoch}/5 " in second
            numbers = "loss 0.5000  val 1.2500  val R@10 15.0  12,346 museums/s"
            assert third == (numbers if columns > 50 else numbers[:49] + "\u2026")
        # Others of the strategy, which differ in what is compiled.
        listeners.epoch(report(1))
        assert " 1/5 " in rows()[1]
        listeners.epoch(report(2, runs=0))  # all have failed
        assert rows()[2].startswith("loss 0.5")
        listeners.strategy(small.BY_ROOM, 4)
        first, second, third = rows()
        assert " 1/2 " in first and " 0/? " in second and third == "compiling"


def wrapped(line: str, columns: int = 80) -> list[str]:
    """A line as a terminal shows it."""
    cut = [line[i : i + columns].rstrip() for i in range(0, len(line), columns)]
    return cut or [""]


def screen(text: str, columns: int = 80) -> list[str]:
    """What a terminal shows that was sent this; rows are never scrolled away."""
    rows, row, column = [""], 0, 0
    for code, move, key, char in re.findall(
        r"(\x1b\[[?]?(\d*)([A-Za-z]))|((?s:.))", text
    ):
        if code:
            if key == "A":
                row -= int(move or 1)
            elif key == "K":
                rows[row] = ""
            else:
                assert key in "mhl", code  # colours, and hiding the cursor
        elif char == "\r":
            column = 0
        elif char == "\n" or column == columns:
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        if char and char not in "\r\n":
            rows[row] = (
                rows[row].ljust(column)[:column] + char + rows[row][column + 1 :]
            )
            column += 1
    while rows and not rows[-1]:
        rows.pop()
    return [row.rstrip() for row in rows]
