"""Reads the tests of many runs, side by side where there is much to read."""

import dataclasses
from collections.abc import Callable, Sequence

from hm3_jax.files.run_format import TEST_ARRAYS, TEST_OUTPUT
from hm3_jax.reporting.processes import cores, processes
from hm3_jax.reporting.records import Run
from hm3_jax.reporting.release_output import TestedRun, read_tested

# Bytes from which on more processes, which take a second to start, are worth it.
_MUCH = 2**28
_PROCESSES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A run whose test is to be read, see `read_tested`."""

    run: Run
    both_by_theme: bool
    embeddings: bool


def read_all(
    wanted: Sequence[Wanted], say: Callable[[str], None], *, much: int = _MUCH
) -> dict[Run, TestedRun]:
    """Tests of runs.

    Args:
        wanted: runs, each with a finished try.
        say: told about those that cannot be read.
        much: bytes from which on several processes read.

    Returns:
        The tests that can be read.
    """
    size = sum(_size(one.run) for one in wanted)
    count = min(_PROCESSES, cores(), len(wanted))
    if size < much or count < 2:
        results = list(map(_read, wanted))
    else:
        with processes(count) as submit:
            found = [submit(_read, one) for one in wanted]
            results = [future.result() for future in found]
    tests = {}
    for one, result in zip(wanted, results, strict=True):
        if isinstance(result, str):
            say(result)
        else:
            tests[one.run] = result
    return tests


def _read(wanted: Wanted) -> TestedRun | str:
    try:
        return read_tested(
            wanted.run,
            both_by_theme=wanted.both_by_theme,
            embeddings=wanted.embeddings,
        )
    except (ValueError, FileNotFoundError) as error:
        return f"{error}; no significance and no figures of it"


def _size(run: Run) -> int:
    for name in (TEST_ARRAYS, TEST_OUTPUT):
        try:
            return (run.folder / name).stat().st_size
        except OSError:
            continue
    return 0
