"""Lists of a finished run's files, by which later edits are found.

`files.json` of a try has its record, log and test; that of its strategy, the tests of
all tries. A try that is not finished has none: its checkpoints have a checksum of its
log. The strategy's is written last and removed first, so where it is, those of the
tries are.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from hm3_jax.files.durable import write_whole
from hm3_jax.files.file_list import FILE_LIST, drop_list, list_of
from hm3_jax.files.run_format import (
    BY_LENGTH,
    FAILURE,
    LOG,
    RECORD,
    STRATEGY,
    TEST_ARRAYS,
    TEST_METRICS,
    TEST_OUTPUT,
)

_OF_TRY = (RECORD, LOG, FAILURE, TEST_METRICS, BY_LENGTH)
_OF_STRATEGY = (STRATEGY, TEST_OUTPUT, TEST_ARRAYS)


def drop_lists(try_folder: Path) -> None:
    """Removes the lists of a try and its strategy: the try is about to change."""
    for folder in (try_folder.parent, try_folder):
        drop_list(folder)


@contextlib.contextmanager
def listed(strategy_folder: Path, tries: Sequence[Path]) -> Iterator[None]:
    """Lists what is there when the block has written it; meanwhile there is no list."""
    for folder in (strategy_folder, *tries):
        drop_list(folder)
    yield
    for folder in tries:
        write_whole(folder / FILE_LIST, list_of(folder, _OF_TRY))
    tests = list_of(strategy_folder, _OF_STRATEGY)
    write_whole(strategy_folder / FILE_LIST, tests)
