"""Each file of a run folder, damaged in many ways: one line, the rest reported."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hm3_jax.reporting.build import ReportConfig, make_report
from hm3_jax.reporting.figures.curves import draw_curves
from hm3_jax.reporting.figures.style import settings
from hm3_jax.reporting.read_runs import find_runs
from tests.reporting.run_folders import theme_settings, write_run

FILES = (
    "rnn_rnn/test_output.json",
    "rnn_rnn/test_output.npz",
    "rnn_rnn/try_1/run.json",
    "rnn_rnn/try_1/test_metrics.json",
)
SMALL_FILES = (
    "experiment.json",
    "rnn_rnn/try_1/metrics.jsonl",
    "rnn_rnn/try_1/failed.json",
    "rnn_rnn/try_1/checkpoints/last/25/meta.json",
)
# Sound JSON that is something else; nested deeper than any parser goes, too.
OTHERS = ("null", "[]", "{}", '"text"', "3", "[1, [2]]", '[{"n_try": [1]}]', "[" * 5000)


def truncated(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return damage


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def flipped(seed: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        random = np.random.default_rng(seed)
        content = bytearray(path.read_bytes())
        content[random.integers(len(content))] ^= 1 << int(random.integers(8))
        path.write_bytes(content)

    return damage


def with_values(value: object) -> Callable[[Path], None]:
    """Puts a value in place of every value of the outermost objects."""

    def damage(path: Path) -> None:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                changed: Any = dict.fromkeys(arrays, np.array(str(value)))
            np.savez(path, **changed)
            return
        try:
            content = json.loads(path.read_text())
        except json.JSONDecodeError:  # lines
            content = json.loads(path.read_text().splitlines()[0])
        entries = content if isinstance(content, list) else [content]
        for entry in entries:
            entry.update(dict.fromkeys(entry, value))
        path.write_text(json.dumps(content))

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": Path.unlink,
    "empty": truncated(0),
    "half": truncated(0.5),
    "all but the end": truncated(0.98),
    "folder": folder_instead,
    "no text": lambda path: path.write_bytes(bytes(range(256))),
    **{
        f"other {i}": lambda path, text=text: path.write_text(text)
        for i, text in enumerate(OTHERS)
    },
    **{
        f"values {value}": with_values(value)
        for value in (None, 1, -1, 1e300, "x", [], {})
    },
    **{f"flip {seed}": flipped(seed) for seed in range(12)},
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three experiments of one run; the second will be damaged."""
    folder = tmp_path_factory.mktemp("sound")
    write_run(folder / "A" / "rnn_rnn", noise=0.5)
    damaged = write_run(folder / "B" / "rnn_rnn", settings=theme_settings(0.05))
    write_run(folder / "C" / "rnn_rnn", noise=2.0)
    checkpoint = damaged / "try_1/checkpoints/last/25"
    checkpoint.mkdir(parents=True)
    (checkpoint / "meta.json").write_text('{"format_version": 1}')
    return folder


def report(runs: Path, output: Path) -> tuple[list[str], dict[str, Any]]:
    said: list[str] = []
    config = ReportConfig(runs=(runs,), output=output, figures=False)
    make_report(config, said.append)
    facts = json.loads((output / "report.json").read_text())
    assert facts["problems"] == said
    means = {run["name"]: (run["mean"], run["std"]) for run in facts["runs"]}
    return said, means


@pytest.mark.parametrize(
    "file", [*FILES, *(pytest.param(f, marks=pytest.mark.slow) for f in SMALL_FILES)]
)
def test_the_rest_is_reported(sound: Path, tmp_path: Path, file: str) -> None:
    said, before = report(sound, tmp_path / "before")
    assert said == []
    silent = []
    for name, damage in DAMAGES.items():
        runs = tmp_path / "runs"
        shutil.copytree(sound, runs)
        path = runs / "B" / file
        if path.name == "failed.json":
            path.write_text('{"failure": "loss is nan", "epoch": 3}')
        if path.name == "test_output.json":
            # What is damaged is what is read.
            path.with_suffix(".npz").unlink()
        damage(path)
        said, after = report(runs, tmp_path / "after")
        for run in ("A/rnn_rnn", "C/rnn_rnn"):
            assert after[run] == before[run], (name, said)
        assert all("\n" not in line for line in said), (name, said)
        # One line about the file, and possibly one about what the run lacks for it.
        assert len(said) <= 3 and len(set(said)) == len(said), (name, said)
        if not said:
            silent.append(name)
        shutil.rmtree(runs)
    # A flipped digit or letter may leave a file that is as good as another, and what is
    # not there is not missed where not every run has it.
    harmless = {
        "metrics.jsonl": set(DAMAGES),
        "experiment.json": {"gone"},
        "failed.json": {"gone"},
        "meta.json": set(DAMAGES),
        # The same stands in the JSON beside it.
        "test_output.npz": {"gone"},
    }.get(Path(file).name, set())
    assert {name for name in silent if not name.startswith("flip")} <= harmless


@pytest.mark.parametrize("name", DAMAGES)
def test_curves_are_drawn_of_the_other_tries(
    sound: Path, tmp_path: Path, name: str
) -> None:
    pytest.importorskip("matplotlib")
    shutil.copytree(sound / "B", tmp_path / "B")
    DAMAGES[name](tmp_path / "B/rnn_rnn/try_1/metrics.jsonl")
    (run,) = find_runs([tmp_path], pytest.fail)
    said: list[str] = []
    with settings():
        drawing = draw_curves({run: "B"}, said.append, "x")
    assert drawing is not None and len(said) <= 1
    tries = {row[-1] for row in drawing.rows if row[1] == "val loss"}
    assert tries <= {1, 2} and (said == [] or tries == {1})
