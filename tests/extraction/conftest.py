"""A small model and a small museum list, made once."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory) -> Path:
    """A local folder with a small random model."""
    pytest.importorskip("open_clip")
    from tests.extraction.clips import QUICK, random_clip, save_folder

    folder = tmp_path_factory.mktemp("clip")
    return save_folder(folder, QUICK, random_clip(QUICK))


@pytest.fixture(scope="session")
def museums(tmp_path_factory) -> Path:
    """The list of six museums that share paintings and videos; not to be changed."""
    pytest.importorskip("av")
    from tests.extraction.museum_folder import write_museums

    return write_museums(tmp_path_factory.mktemp("museums"))
