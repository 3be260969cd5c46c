import pytest

from hm3_jax.data.museum_jsonl import RawArtwork, RawMuseum, RawRoom
from hm3_jax.data.raw_sources.semart import read_semart

COLUMNS = (
    "IMAGE_FILE\tDESCRIPTION\tAUTHOR\tTITLE\tTECHNIQUE\tDATE\tTYPE\tSCHOOL\tTIMEFRAME"
)
ROWS = {
    "train": [
        '1.jpg\t"The ""great""\nsaint &amp; a caf&eacute;."\tD\xdcRER, Albrecht\t'
        "St  Jerome\tOil\tc. 1514\treligious\tGerman\t1501-1550",
        "2.jpg\tA view.\tX\t\tOil\t-\tlandscape\tDutch\t1601-1650",
        "",
    ],
    "val": ["3.jpg\t \tX\tTitle\tOil\t-\tgenre"],
    "test": ["4.jpg\tA man.\tX\tMan\tOil\t-\tportrait\tDutch\t1601-1650"],
}


def write(folder, rows=ROWS, columns=COLUMNS):
    (folder / "Images").mkdir(parents=True, exist_ok=True)
    for split, lines in rows.items():
        text = "\r\n".join([columns, *lines]) + "\r\n"
        path = folder / f"semart_{split}.csv"
        path.write_bytes(text.encode("latin-1"))
    return folder


def test_paintings_become_artworks_and_museums(tmp_path):
    raw = read_semart(write(tmp_path))
    text = 'The "great"\nsaint & a café.'
    assert raw.root == tmp_path.resolve()
    assert raw.artworks[0] == RawArtwork(
        "1.jpg",
        "Images/1.jpg",
        "St Jerome",
        {
            "DESCRIPTION": text,
            "AUTHOR": "DÜRER, Albrecht",
            "TECHNIQUE": "Oil",
            "DATE": "c. 1514",
            "TYPE": "religious",
            "SCHOOL": "German",
            "TIMEFRAME": "1501-1550",
            "split": "train",
        },
    )
    assert [artwork.id for artwork in raw.artworks] == [
        "1.jpg",
        "2.jpg",
        "3.jpg",
        "4.jpg",
    ]
    # What a short row lacks is empty.
    assert raw.artworks[2].facts["TIMEFRAME"] == ""
    room = (RawRoom(("Images/1.jpg",)),)
    assert raw.museums[0] == RawMuseum(
        "1.jpg", "train", "religious", text, room, "St Jerome"
    )
    assert [(museum.split, museum.title) for museum in raw.museums] == [
        ("train", "St Jerome"),
        ("train", None),
        ("test", "Man"),
    ]
    assert raw.notes == (
        "left out, because they have no text: 1 (3.jpg)",
        "SemArt has no museums: each painting becomes one with one room, themed by "
        "its TYPE",
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_tables_that_spreadsheets_have_saved_again(tmp_path, encoding):
    folder = write(tmp_path)
    row = "5.jpg\tA château, “like new”.\tCÉZANNE, Paul\t–\tOil\t-\tgenre"
    text = f"{COLUMNS}\r\n{row}\r\n"
    (folder / "semart_val.csv").write_bytes(text.encode(encoding))
    (artwork,) = [a for a in read_semart(folder).artworks if a.id == "5.jpg"]
    assert artwork.title == "–"
    assert artwork.facts["AUTHOR"] == "CÉZANNE, Paul"
    assert artwork.facts["DESCRIPTION"] == "A château, “like new”."


def test_names_may_be_in_capitals(tmp_path):
    plain = read_semart(write(tmp_path)).museums
    (tmp_path / "Images").rename(tmp_path / "images")
    (tmp_path / "semart_train.csv").rename(tmp_path / "SemArt_train.CSV")
    raw = read_semart(tmp_path)
    assert [museum.id for museum in raw.museums] == [museum.id for museum in plain]
    assert raw.museums[0].rooms[0].views == ("images/1.jpg",)


def test_the_root_can_be_wider(tmp_path):
    raw = read_semart(write(tmp_path / "SemArt"), root=tmp_path)
    assert raw.artworks[0].path == "SemArt/Images/1.jpg"
    assert raw.museums[0].rooms[0].views == ("SemArt/Images/1.jpg",)


@pytest.mark.parametrize(
    ("rows", "columns", "complaint"),
    [
        (
            ["1.jpg" + "\tx" * 9],
            COLUMNS,
            "val.csv:2: expected 9 cells between tabs, fou",
        ),
        (["\ttext"], COLUMNS, "val.csv:2: expected an IMAGE_FILE, found none"),
        (
            [],
            "IMAGE_FILE,TITLE",
            "expected the columns IMAGE_FILE, .*'IMAGE_FILE,TITLE'",
        ),
        (['1.jpg\t"' + "x" * 200_000], COLUMNS, "val.csv:2: .*field larger than"),
        (["../1.jpg\ttext\tX\tt\t\t\tgenre"], COLUMNS, None),
        (
            ["/etc/x.jpg\ttext\tX\tt\t\t\tgenre"],
            COLUMNS,
            "/etc/x.jpg: expected a file in",
        ),
    ],
)
def test_faulty_tables_are_named(tmp_path, rows, columns, complaint):
    folder = write(tmp_path / "SemArt", {"val": rows}, columns)
    if complaint is None:  # still inside the folder
        assert read_semart(folder).museums[0].rooms[0].views == ("1.jpg",)
        return
    with pytest.raises(ValueError, match=complaint):
        read_semart(folder)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Images: expected SemArt's pictures"):
        read_semart(tmp_path)
    (tmp_path / "Images").mkdir()
    with pytest.raises(
        FileNotFoundError, match="expected semart_train.csv, semart_val"
    ):
        read_semart(tmp_path)
