"""Lines about progress: few, and on stderr."""

from hm3_jax.data import progress_lines
from hm3_jax.data.progress_lines import ProgressLines


def test_a_line_now_and_then(monkeypatch, capsys):
    clock = [100.0]
    monkeypatch.setattr(progress_lines.time, "monotonic", lambda: clock[0])
    watch = ProgressLines("published", every=5.0)
    for done in range(1, 41):
        clock[0] += 0.5
        watch(done, 40)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        "published: 10 of 40 museums, 2 museums/s, 15 s left",
        "published: 20 of 40 museums, 2 museums/s, 10 s left",
        "published: 30 of 40 museums, 2 museums/s, 5 s left",
    ]


def test_quick_work_prints_nothing(capsys):
    watch = ProgressLines("published")
    for done in range(1, 4):
        watch(done, 3)
    assert capsys.readouterr() == ("", "")
