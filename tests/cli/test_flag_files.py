"""Flag files as editors of all systems save them."""

import pytest
from absl import flags

from hm3_jax.cli import flag_files


@pytest.fixture
def values():
    values = flags.FlagValues()
    flags.DEFINE_string("features", None, "", flag_values=values)
    flags.DEFINE_integer("epochs", 25, "", lower_bound=1, flag_values=values)
    flags.DEFINE_list("tags", [], "", flag_values=values)
    flags.DEFINE_bool("fast", False, "", flag_values=values)
    return values


@pytest.fixture
def given(values, tmp_path, monkeypatch):
    """Parses a flag file of these bytes; the values of features, epochs, tags."""
    monkeypatch.chdir(tmp_path)

    def parse(data, *more):
        (tmp_path / "a.cfg").write_bytes(data)
        assert flag_files.parse(values, ["x", "--flagfile=a.cfg", *more]) == ["x"]
        return values.features, values.epochs, values.tags

    return parse


PLAIN = "# Ours.\n--features=Musées/a b\n\n--epochs=4\n--tags=a,b\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encodings_and_lines(given, encoding, ending):
    data = PLAIN.replace("\n", ending).encode(encoding)
    assert given(data) == ("Musées/a b", 4, ["a", "b"])


@pytest.mark.parametrize(
    ("line", "features"),
    [
        ('--features="a b"', "a b"),
        ("--features='a b'", "a b"),
        ("--features=\u201ca b\u201d", "a b"),
        ('"--features=a b"', "a b"),
        ('  --features = "a b"  ', "a b"),
        ("--features=it's", "it's"),
        ('--features="a", "b"', '"a", "b"'),
        ("--features=''", ""),
        ("--features=a=b", "a=b"),
        ("-features=#1", "#1"),
    ],
)
def test_quotes(given, line, features):
    assert given(line.encode())[0] == features


def test_quotes_of_lists(given):
    assert given(b'--tags="a,b"')[2] == ["a", "b"]
    assert given(b'--tags="a,b","c"')[2] == ["a,b", "c"]


def test_later_flags_win_and_switches_need_no_value(given, values):
    assert given(b"--epochs=3\n--fast\n", "--epochs=5")[1] == 5
    assert values.fast


def test_files_name_files(given, tmp_path):
    (tmp_path / "b.cfg").write_text("--features=b\n--epochs=7\n")
    assert given(b'--epochs=3\r\n--flagfile="b.cfg"\r\n')[:2] == ("b", 7)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\n--epocs=3", "a.cfg:2: Unknown command line flag 'epocs'. Did you mean"),
        (b"# c\r\n\r\n--epochs=many\r\n", "a.cfg:3: flag --epochs=many: invalid lit"),
        (b"--epochs=0", "a.cfg:1: flag --epochs=0: 0 is not a positive integer"),
        (b"--nofast=1", "a.cfg:1: --nofast=1 does not take an argument"),
        (
            b"--features\n--epochs=3",
            "a.cfg:1: expected --flag=value, found '--features",
        ),
        (b"--epochs 3", "a.cfg:1: expected --flag=value, found '--epochs 3'"),
        (b"epochs=3", "a.cfg:1: expected --flag=value or a comment .#., found 'epochs"),
        ("\u2013epochs=3".encode(), "a.cfg:1: expected --flag=value or a comment"),
        (b'--features="a', "a.cfg:1: expected a closing quote, found '\"a'"),
        (b"--features=\x81\xe9", "a.cfg: expected text in UTF-8 or Windows-1252, foun"),
        (b"\n--flagfile=a.cfg", "a.cfg:2: expected another file of flags, found a.cfg"),
        (b"--flagfile=no.cfg", "no.cfg: expected a file of flags, or the name"),
    ],
)
def test_faults_name_file_and_line(given, data, complaint):
    with pytest.raises((flags.Error, OSError, ValueError), match=f"^{complaint}"):
        given(data)


def test_faults_of_the_command_line_name_no_file(given):
    with pytest.raises(flags.Error, match="^flag --epochs=many: invalid literal"):
        given(b"--epochs=3", "--epochs=many")


@pytest.mark.parametrize(
    ("argument", "shown"),
    [("--features=caf\udce9", r"caf\\xe9"), ("--tags=b,a\udce9", r"b,a\\xe9")],
)
def test_what_is_in_another_encoding_is_refused(values, argument, shown):
    # As a terminal in Latin-1 sends it.
    with pytest.raises(
        flags.Error, match=f"^flag --[a-z]*: expected UTF-8, .* {shown}$"
    ):
        flag_files.parse(values, ["x", argument])


@pytest.mark.parametrize("arguments", [["--flagfile"], ["--flagfile="]])
def test_a_flag_file_needs_a_name(values, arguments):
    with pytest.raises(flags.Error, match="--flagfile=FILE needs a file"):
        flag_files.parse(values, ["x", *arguments])


def test_what_comes_after_two_dashes_is_left(values):
    assert flag_files.parse(values, ["x", "--", "--flagfile=a"]) == [
        "x",
        "--flagfile=a",
    ]
