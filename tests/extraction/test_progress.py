"""Lines about progress: true, and not too many."""

from hm3_jax.extraction.progress import ExtractionProgress, duration


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_lines_say_how_far_how_fast_and_what_is_left():
    clock, lines = Clock(), []
    progress = ExtractionProgress({"texts": 100, "pictures": 1000}, lines.append, clock)
    clock.now = 1.0
    progress.add("texts", 50)
    clock.now = 2.0
    progress.add("texts", 50)
    clock.now = 12.0
    progress.add("pictures", 200, skipped=3)
    assert lines == [
        "texts: 100 of 100, 50.0 texts/s; then 1,000 pictures",
        "pictures: 200 of 1,000, 20.0 pictures/s, 40 s left, 3 skipped",
    ]


def test_a_long_run_says_some_hundred_lines():
    clock, lines = Clock(), []
    seconds = 24 * 3600
    progress = ExtractionProgress({"pictures": seconds}, lines.append, clock)
    for _ in range(seconds):
        clock.now += 1
        progress.add("pictures", 1)
    assert 100 < len(lines) < 1200
    assert lines[-1] == "pictures: 86,400 of 86,400, 1.0 pictures/s"


def test_durations_are_in_words():
    assert [duration(s) for s in (0.4, 89, 91, 3599, 3600, 9000)] == [
        "0 s",
        "89 s",
        "2 min",
        "1 h 0 min",
        "1 h 0 min",
        "2 h 30 min",
    ]
