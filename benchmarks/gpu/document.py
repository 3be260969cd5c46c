"""Takes the GPU's numbers into docs/performance.md.

python -m benchmarks.gpu.document [RESULTS]

RESULTS is the results.json of `bash launch/gpu_check.sh`; it is kept beside this
module, and the section of the page between the two marks is made of what is kept.
Without it, the section is made anew. What a rehearsal found is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.gpu.tables import Record, markdown
from benchmarks.in_process import REPOSITORY
from hm3_jax.files.durable import write_whole
from hm3_jax.files.json_files import read_object, write_json

PAGE = REPOSITORY / "docs" / "performance.md"
KEPT = Path(__file__).with_name("measured.json")
BEGIN, END = "<!-- begin: benchmarks.gpu.document -->", "<!-- end -->"

_NOTHING = "Nothing has been measured on a GPU yet."


def with_section(page: str, record: Record | None) -> str:
    """A page with what a record says between the marks.

    Args:
        page: Markdown.
        record: what was measured; None where nothing was.

    Raises:
        ValueError: the page has no marks, or the record is of a rehearsal.
    """
    if record is not None and record["miniature"]:
        raise ValueError("expected what a GPU did, found the numbers of a rehearsal")
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected the marks {BEGIN} and {END}, found them missing")
    section = _NOTHING if record is None else markdown(record, level=3).strip()
    return f"{before}{BEGIN}\n\n{section}\n\n{END}{after}"


def kept() -> Record | None:
    """The record that the page is made of; None where there is none yet."""
    return read_object(KEPT, ("stages", "miniature")) if KEPT.exists() else None


def main() -> None:
    """Keeps the results that are given, and writes the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="?")
    given = parser.parse_args()
    record = kept()
    if given.results is not None:
        record = read_object(given.results, ("stages", "miniature"))
    try:
        page = with_section(PAGE.read_text(), record)
    except ValueError as error:
        parser.error(f"{given.results or PAGE}: {error}")
    if given.results is not None:
        write_json(KEPT, record)
    write_whole(PAGE, page)


if __name__ == "__main__":
    main()
