"""Says after the tests which were left out, and how to run them."""

import re
from collections import Counter
from collections.abc import Iterable

import pytest

# What a reason for skipping names, and what runs those tests; the first that fits.
HOW = (
    (r"\.\./shared", "put the material's folder beside the repository, as ../shared"),
    (r"Chromium", "apt-get install chromium, or its program in CHROMIUM"),
    (r"LaTeX", "apt-get install texlive-latex-base"),
    (r"qdrant", "bash launch/setup.sh full"),
    (r"faiss|hadolint|hatchling", "bash launch/setup.sh core test"),
    (r"matplotlib|sklearn", "bash launch/setup.sh core analysis test"),
    (r"nbconvert|nbformat|zensical|nbclient|kernel", "bash launch/setup.sh full"),
    (
        r"torch|open_clip|\bav\b|PyAV|PIL|Pillow|sentencex|finder of sentences"
        r"|array_record|tensorflow_datasets",
        "bash launch/test.sh without HM3_JAX_SETUP=core",
    ),
    (r"mount|file system", "run the tests as root, where file systems can be mounted"),
    (r"root", "run the tests as another user than root"),
    (r"git history", "run the tests in a clone"),
    (r"^marked thorough$", "bash launch/test.sh --thorough"),
    (r"^marked slow$", "bash launch/test.sh --long"),
)
_COUNTS = pytest.StashKey[Counter[str]]()


def lines_of(reasons: Iterable[str]) -> list[str]:
    """One line for each command that runs what was left out.

    Args:
        reasons: why each was; the same may come several times.
    """
    groups: dict[str, Counter[str]] = {}
    for reason in reasons:
        how = next((how for word, how in HOW if re.search(word, reason)), "")
        groups.setdefault(how, Counter())[reason] += 1
    return [
        f"{sum(found.values())} ({'; '.join(sorted(found))})"
        + (f": {how}" if how else "")
        for how, found in groups.items()
    ]


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Counts what `-m` leaves out; of tests with both marks, as slow."""
    for item in items:
        found = item.config.stash.setdefault(_COUNTS, Counter())
        for mark in ("slow", "thorough"):
            if item.get_closest_marker(mark) is not None:
                found[f"marked {mark}"] += 1
                break


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist hands its counts to the one that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = dict(session.config.stash.get(_COUNTS, Counter()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    """Every process of pytest-xdist collects the same tests, so one's counts count."""
    found = getattr(node, "workeroutput", {}).get("left_out", {})
    node.config.stash[_COUNTS] = Counter(found)


def pytest_terminal_summary(terminalreporter) -> None:
    """Writes the lines."""
    counts = terminalreporter.config.stash.get(_COUNTS, Counter())
    skipped = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    ]
    lines = lines_of([*skipped, *counts.elements()])
    if lines:
        terminalreporter.section("left out, and how to run it")
        for line in lines:
            terminalreporter.line(line)
