import codecs
import os

import pytest

from hm3_jax.files.text import decode, is_text, read_text, readable

TEXT = "Cézanne\nsaid “Non” — deux fois.\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"]
)
def test_text_of_all_editors(encoding):
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    data = marks.get(encoding, b"") + TEXT.encode(encoding)
    assert decode(data, "x") == TEXT


def test_latin_1_is_read_as_it_was_published():
    assert decode("CÉZANNE, Paul".encode("latin-1"), "x") == "CÉZANNE, Paul"


def test_pieces_of_utf8_are_not_enough_for_it():
    # Two letters of Windows-1252 that are one in UTF-8, and one that is none.
    assert decode(b"\xc3\xa9\xe9", "x") == "Ã©é"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_every_system(tmp_path, ending):
    (tmp_path / "a").write_bytes(f"é{ending}b{ending}".encode())
    assert read_text(tmp_path / "a") == "é\nb\n"


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (
            b"a\n\x81\xe9",
            "x: expected text in UTF-8 or Windows-1252, found the byte 0x",
        ),
        (b"a\n\xef\x90", "found the byte 0x90 in line 2"),
        (codecs.BOM_UTF8 + b"a\nb\n\xe9", "mark says, found the byte 0xe9 in line 3"),
        (codecs.BOM_UTF16_LE + b"a", "expected text in UTF-16, as its mark says"),
        ("a\nb".encode("utf-16-le"), "x: expected text, found a zero byte in line 1"),
    ],
)
def test_what_is_no_text_is_named(data, complaint):
    with pytest.raises(ValueError, match=complaint):
        decode(data, "x")


def test_names_in_other_encodings_are_shown():
    name = os.fsdecode("a/café.png".encode("latin-1"))
    assert readable(name) == r"a/caf\xe9.png"
    assert readable("a\nb\x7f.png") == r"a\nb\x7f.png"
    assert readable("a/café.png") == "a/café.png"
    assert not is_text(name)
    assert is_text("a/café 🖼.png")
