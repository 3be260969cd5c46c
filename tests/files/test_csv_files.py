"""CSV: what a spreadsheet would run is text, and numbers stay numbers."""

import csv
import io
from pathlib import Path

import pytest

from hm3_jax.files.csv_files import csv_text, write_csv

FORMULAS = [
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://a.example")',
    "+1+cmd",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "\t=1",
    "\n=1",
    "-",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_texts(text):
    (row,) = csv.reader(io.StringIO(csv_text([[1, text, "b"]]), newline=""))
    assert row == ["1", f"'{text}", "b"]


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_no_line_end_begins_a_row(end):
    text = csv_text([["a", f"{end}=1"], ["b", f"x{end}=1"]])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [["a", "'\n=1"], ["b", "x\n=1"]]


@pytest.mark.parametrize(
    "value", [-1.5, "-1.5", "+2", "-inf", "a=b", "'=1", "", " =1", None, 0, 1e-300]
)
def test_all_else_is_as_it_is(value):
    (row,) = csv.reader(io.StringIO(csv_text([["x", value]])))
    assert row == ["x", "" if value is None else str(value)]


def test_a_file_has_what_the_text_has(tmp_path):
    rows = [["id", "n"], ["=é", 2]]
    write_csv(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_bytes() == csv_text(rows).encode()


def test_every_csv_is_written_here(repository: Path):
    package = repository / "hm3_jax"
    writers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "csv.writer" in path.read_text() or "DictWriter" in path.read_text()
    }
    assert writers == {"files/csv_files.py"}
