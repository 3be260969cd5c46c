"""The GPU's check: its time, its record, its tables; a rehearsal of all of it."""

import importlib
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.gpu import watched
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.document import PAGE, kept, with_section
from benchmarks.gpu.results import Results
from benchmarks.gpu.setting import Setting, miniature
from benchmarks.gpu.stages import STAGES, Stage, Step
from benchmarks.gpu.tables import markdown, predicted_grid_seconds
from benchmarks.in_process import REPOSITORY

# A module with steps that end in every way.
STEPS = """
import os, time

def fine(setting):
    print("noise on stdout")
    yield {"what": "first"}
    yield {"what": str(setting.folder)}

def fails(setting):
    yield {"what": "before"}
    raise MemoryError("RESOURCE_EXHAUSTED: out of memory\\nand an essay")

def lacks(setting):
    import nothing_of_this_name
    yield {}

def crashes(setting):
    yield {"what": "last words"}
    os.write(2, b"Aborted by CUDA")
    os._exit(134)

def hangs(setting):
    time.sleep(1000)
    yield {}
"""


class Patient(Clock):
    """A clock that gives every step the same seconds, however slow the machine is."""

    def limit(self, stage, step):
        return 1.0 if step.name == "hangs" else 300.0


def test_steps_end_in_every_way_and_the_next_one_begins(tmp_path):
    (tmp_path / "steps_of_a_test.py").write_text(STEPS)
    names = ("crashes", "fine", "hangs", "fails", "lacks")
    stage = Stage("a stage", "steps_of_a_test", tuple(Step(n, 1) for n in names))
    results = Results(tmp_path, miniature=True, minutes=9)
    found = {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    watched.carry_out(
        stage,
        Setting(tmp_path),
        results,
        Patient(60, (stage,)),
        found,
        tmp_path / "log",
    )
    record = json.loads((tmp_path / "results.json").read_text())
    assert record == results.record
    found = record["stages"]["a stage"]
    said = {name: (step["state"], step.get("error")) for name, step in found.items()}
    assert said == {
        "crashes": ("failed", "the process ended: Aborted by CUDA"),
        "fine": ("done", None),
        "hangs": ("stopped", "took more than 1 s"),
        "fails": ("failed", "MemoryError: RESOURCE_EXHAUSTED: out of memory"),
        "lacks": ("missing", "nothing_of_this_name is not installed"),
    }
    rows = {name: [row["what"] for row in step["rows"]] for name, step in found.items()}
    assert rows == {
        "crashes": ["last words"],
        "fine": ["first", str(tmp_path)],
        "hangs": [],
        "fails": ["before"],
        "lacks": [],
    }
    report = (tmp_path / "results.md").read_text()
    assert "| a stage | hangs | stopped: took more than 1 s |" in report
    assert "fine" not in report
    assert "noise on stdout" in (tmp_path / "log").read_text()


def test_time_is_split_in_proportion_and_what_is_not_used_goes_to_the_others():
    steps = (Step("a", 10), Step("b", 30))
    stage = Stage("both", "facts", steps)
    clock = Clock(1, (stage, Stage("after", "facts", (Step("c", 20),))))
    # A sixth of a minute, generously; then three fifths of what is left.
    assert clock.limit(stage, steps[0]) == pytest.approx(25, abs=1)
    assert clock.limit(stage, steps[1]) == pytest.approx(60, abs=1)
    clock = Clock(0, (stage,))
    assert clock.left == 0 == clock.limit(stage, steps[0])


def test_every_step_is_there():
    for stage in STAGES:
        module = importlib.import_module(stage.module)
        for step in stage.steps:
            assert getattr(module, step.name).__doc__, (stage.name, step.name)
    assert len({stage.name for stage in STAGES}) == len(STAGES)


def test_a_setting_reaches_another_process(tmp_path):
    for setting in (Setting(tmp_path), miniature(tmp_path)):
        assert Setting.of_text(setting.to_text()) == setting


def record_of(**rows: list[dict[str, Any]]) -> dict[str, Any]:
    named = {name.replace("_", " "): found for name, found in rows.items()}
    return {
        "began": "2026-01-02T03:04:05+00:00",
        "miniature": False,
        "minutes": 9,
        "stages": {
            name: {"step": {"state": "done", "rows": found}}
            for name, found in named.items()
        },
    }


FULL = record_of(
    machine=[
        {"what": "kind", "value": "A card"},
        {"what": "jax", "version": "1.2"},
        {"what": "highest", "flops_per_second": 4e13},
        {"what": "bandwidth", "bytes_per_second": 2e12},
    ],
    plain_PyTorch=[{"what": "PyTorch", "runs": 1, "training_seconds": 3.0}],
    training=[
        {
            "what": "HM3's strategy",
            "runs": 33,
            "training_seconds": 11.0,
            "epoch_seconds": 12.0,
            "first_epoch_seconds": 32.0,
            "training_flops_per_second": 1e13,
        },
        {"what": "HM3's strategy", "runs": 132, "failed": "DoesNotFitError: 90 GiB"},
    ],
    search=[{"what": "v", "bytes": 10**9, "ours_milliseconds": 1.0}],
    several_devices=[
        {"what": "spread", "devices": 1, "runs": 11, "training_seconds": 4.0},
        {"what": "spread", "devices": 4, "runs": 44, "training_seconds": 5.0},
    ],
)


def test_tables_say_what_follows_from_the_numbers():
    lines = markdown(FULL).splitlines()
    # 33 epochs in 11 s, where PyTorch takes 3 s for one; a quarter of the card's rate;
    # 20 s of the first epoch are for compiling.
    assert "| HM3's strategy | 33 | 11 | 0.333 | 9 | 10 | 25.0% | 20 |" in lines
    assert "| HM3's strategy | 132 | DoesNotFitError: 90 GiB |  |  |  |  |  |" in lines
    # A GB in a millisecond is half of 2 TB/s.
    assert "| v | 1 | - | - | 50.0% |" in lines
    # Four times the work in five fourths of the time.
    assert "| spread | 4 | 44 | 5 | 80% |" in lines
    assert predicted_grid_seconds(FULL) == 4 * (32 + 24 * 12)
    assert any("would take 1280 s" in line for line in lines)
    assert "Measured on A card with jax 1.2" in lines[0]


def test_the_page_is_what_the_record_says():
    page = PAGE.read_text()
    assert with_section(page, kept()) == page
    changed = with_section(page, FULL)
    assert "### Training" in changed and "A card" in changed
    assert with_section(changed, kept()) == page
    with pytest.raises(ValueError, match="rehearsal"):
        with_section(page, {**FULL, "miniature": True})
    with pytest.raises(ValueError, match="marks"):
        with_section("# Speed\n", FULL)


@pytest.mark.thorough
def test_the_rehearsal_does_everything(tmp_path, repository):
    output = tmp_path / "check"
    done = subprocess.run(
        ["bash", str(repository / "launch/gpu_check.sh"), "--miniature"]
        + ["--minutes=60", f"--output={output}"],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((output / "results.json").read_text())
    assert list(record["stages"]) == [stage.name for stage in STAGES]
    for stage in STAGES:
        steps = record["stages"][stage.name]
        assert list(steps) == [step.name for step in stage.steps]
        for name, step in steps.items():
            assert step["state"] in ("done", "missing"), (stage.name, name, step)
            assert step["rows"] or step["state"] == "missing", (stage.name, name)
            assert not any("failed" in row for row in step["rows"])
    equal = record["stages"]["equality"]["highest"]["rows"]
    assert all(row["largest_difference"] < 1e-4 for row in equal)
    losses = {
        round(row["loss"], 4)
        for step in record["stages"]["recurrence"].values()
        for row in step["rows"]
    }
    assert len(losses) == 1
    fits, feeds = record["stages"]["memory"]["largest_store"]["rows"]
    assert (fits["features_lie_on"], feeds["features_lie_on"]) == ("device", "host")
    assert "A rehearsal" in (output / "results.md").read_text()
