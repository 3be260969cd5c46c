import pytest

from hm3_jax.files.left_behind import is_left_behind


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "._view.png", ".AppleDouble", "__MACOSX", "Icon\r"),
        *(".Trash-1000", ".Spotlight-V100", "lost+found"),
        *("Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information"),
        *("@eaDir", "#recycle", "#snapshot", "@Recycle", "view.png@SynoEAStream"),
        *("~$description.docx", "~snapshot"),
    ],
)
def test_what_systems_leave(name):
    assert is_left_behind(name)


@pytest.mark.parametrize(
    "name", ["room 1", "#1", "@home", "~", "icon.png", "Recycle", "desktop", "-rf"]
)
def test_what_people_name(name):
    assert not is_left_behind(name)
