"""report as a user runs it."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.commands import fail, succeed
from tests.reporting.run_folders import (
    PUBLISHED,
    change,
    published,
    theme_settings,
    write,
    write_run,
)

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    write_run(folder / "STL" / "rnn_meanPoolProc_video", museums=24, **PUBLISHED)
    write_run(
        folder / "T" / "rnn_meanPoolProc_video",
        museums=24,
        noise=2.0,
        **published(**theme_settings(0.05)),
    )
    return folder


def test_a_report(run_module, tmp_path, runs):
    names = "STL/rnn_meanPoolProc_video,T/rnn_meanPoolProc_video"
    command = (
        "hm3_jax.report",
        "--runs=runs",
        "--output=out",
        f"--compare={names}",
        f"--show={names}",
    )
    shown = succeed(run_module(*command))
    assert shown.startswith("2 runs (2 complete), 8 tables, 7 figures; ")
    output = tmp_path / "out"
    tables = {path.name for path in (output / "tables").iterdir()}
    for name in (
        "stl_vs_theme",
        "weights",
        "runs",
        "settings",
        "differences",
        "comparison",
    ):
        assert {f"{name}.md", f"{name}.tex", f"{name}.csv"} <= tables
    assert "all_metrics.csv" in tables
    pictures = {path.suffix for path in (output / "figures").iterdir()}
    assert pictures == {".pdf", ".svg", ".png", ".csv"}
    page = (output / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 7
    for table in tables:
        if table.endswith(".md"):
            text = (output / "tables" / table).read_text()
            assert text in (output / "report.md").read_text()
    facts = json.loads((output / "report.json").read_text())
    metrics = json.loads(
        (runs / "STL/rnn_meanPoolProc_video/try_1/test_metrics.json").read_text()
    )["metrics"]
    assert facts["runs"][0]["mean"].keys() == metrics.keys()
    assert facts["problems"] == []
    # A report that is there is replaced.
    (output / "tables" / "old.md").touch()
    succeed(run_module(*command[:3], "--nofigures"))
    assert not (output / "figures").exists()
    assert not (output / "tables" / "old.md").exists()


@pytest.mark.thorough
def test_names_that_a_sweep_makes_can_be_named(run_module, tmp_path, runs):
    names = []
    for rate in ("0.001", "0.0005"):
        name = f"run_seed=1,lr={rate}/rnn_meanPoolProc_video"
        write_run(runs / name, museums=24, settings={"seed": 1, "lr": float(rate)})
        names.append(name)
    given = [f"--show={','.join(names)}", *(f"--compare={name}" for name in names)]
    command = ("hm3_jax.report", "--runs=runs", "--output=out", "--layout=video")
    shown = succeed(run_module(*command, *given))
    assert (
        "comparison               Differences (A − B), A: run_seed=1,lr=0.001" in shown
    )
    csv = (tmp_path / "out" / "figures" / "density.csv").read_text()
    assert all(name in csv for name in names) and "STL/" not in csv


def test_bad_folders_are_named_and_the_rest_is_reported(run_module, tmp_path, runs):
    half = write_run(runs / "Half" / "rnn_rnn")
    (half / "test_output.npz").write_text('[{"n_try": 1, "ids')
    other = write_run(runs / "Other" / "rnn_rnn", checksum="cd" * 32)
    (other / "try_2" / "run.json").write_text("")
    write(runs / "T/rnn_meanPoolProc_video/try_2/failed.json", {"failure": "nan"})
    change(runs / "T/experiment.json", runs="none")
    done = run_module("hm3_jax.report", "--runs=runs", "--output=out", "--nofigures")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("warning: ") for line in lines)
    for part in (
        "Half/rnn_rnn/test_output.npz: expected the tries' tests, found",
        "Other/rnn_rnn/try_2/run.json: expected JSON, found",
        "T/rnn_meanPoolProc_video: 2 of 3 tries; try 2 failed (nan)",
        "T/experiment.json: expected a list of runs",
        "runs of several data sets or features, in tables of their own",
    ):
        assert sum(part in line for line in lines) == 1, (part, lines)
        assert part in (tmp_path / "out" / "report.md").read_text()
    assert done.stdout.startswith("4 runs (2 complete), ")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--runs=none"], "none: expected a folder of runs, found none"),
        (["--runs="], "--runs: expected folders, found none"),
        (["--runs=file"], "file: expected a folder of runs, found a file"),
        (["--runs=empty"], "empty: expected run folders (with try_1), found none"),
        (["--output=file/out"], "file: expected a folder, found a file"),
        (["--layout=best"], "--layout: expected all or some of hierart_comparison"),
        (
            ["--compare=STL/rnn_meanPoolProc_video"],
            "--compare: expected two runs, found 1",
        ),
        (["--compare=STL/a,T/b"], "--compare: expected EXPERIMENT/STRATEGY of a run"),
        (["--show=X", "--nofigures"], "--show has no effect with --nofigures"),
        (["--show=a,b"], "--show: expected EXPERIMENT/STRATEGY of a run"),
        (["--output=runs"], "expected a folder that can be replaced, found one that"),
    ],
)
def test_wrong_input_is_refused(run_module, tmp_path, runs, arguments, complaint):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    base = {"--runs": "runs", "--output": "out"}
    given = {argument.partition("=")[0] for argument in arguments}
    rest = [f"{flag}={value}" for flag, value in base.items() if flag not in given]
    fail(run_module("hm3_jax.report", *rest, *arguments), complaint)
    assert sorted(tmp_path.iterdir()) == before


def test_no_finished_run_is_refused(run_module, tmp_path, runs):
    for path in runs.glob("*/*/*/test_metrics.json"):
        path.unlink()
    done = run_module("hm3_jax.report", "--runs=runs", "--output=out")
    assert done.returncode == 2
    assert "expected a run with a finished try, found 2 without" in done.stderr


def test_ctrl_c_leaves_nothing(tmp_path, runs):
    # It waits in the middle of its work: nothing is ever written into the pipe.
    pipe = runs / "STL/rnn_meanPoolProc_video/test_output.npz"
    pipe.unlink()
    os.mkfifo(pipe)
    before = sorted(tmp_path.iterdir())
    command = [sys.executable, "-m", "hm3_jax.report", "--runs=runs", "--output=out"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with pipe.open("wb"):  # opens when it begins to read
        partial = [path for path in tmp_path.iterdir() if path not in before]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert len(partial) == 1 and ".partial-" in partial[0].name
    assert process.returncode == 130 and said == "interrupted\n"
    assert sorted(tmp_path.iterdir()) == before
