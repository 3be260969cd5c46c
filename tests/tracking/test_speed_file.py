"""speed.jsonl, whose lines are only ever added."""

import datetime
import json

from hm3_jax.tracking.speed_file import SpeedFile
from tests.tracking import runs


def test_a_line_an_epoch_also_after_half_a_line(tmp_path):
    run, tracker = runs.run(tmp_path), SpeedFile()
    path = run.folder / "speed.jsonl"
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    tracker.begin(run)
    tracker.epoch(run, runs.epoch(1))
    path.write_text(path.read_text() + '{"epoch": 2, "mus')
    again = runs.run(tmp_path, finished_epochs=1)
    tracker.begin(again)
    tracker.epoch(again, runs.epoch(2))
    tracker.end(again, runs.TESTED)
    tracker.close()
    first, second = path.read_text().splitlines()
    for number, text in ((1, first), (2, second)):
        line = json.loads(text)
        written = datetime.datetime.fromisoformat(line.pop("written"))
        assert before <= written <= datetime.datetime.now(datetime.UTC)
        assert line == {
            "epoch": number,
            "museums_per_second": 100.0 * number,
            "train_seconds": 2.5,
        }
