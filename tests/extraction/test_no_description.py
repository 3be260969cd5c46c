"""Museums without a description: found by their pictures, in no split."""

import numpy as np
import pytest

from hm3_jax.app.index_building import chosen_museums
from hm3_jax.app.index_commands import IndexInputs, build
from hm3_jax.app.searching import SearchSettings, search
from hm3_jax.data.store import open_store
from hm3_jax.data.summary import splits_line
from hm3_jax.data.verify import verify_store
from hm3_jax.retrieval.server.collection import Query
from tests.extraction.museum_folder import read_lines, write_lines, write_museums

pytest.importorskip("open_clip", reason="needs open_clip")
pytest.importorskip("av", reason="needs av")


@pytest.mark.parametrize("without", [2, 4])
def test_they_are_found_and_not_trained_on(tmp_path, clip_folder, without):
    from tests.extraction.runs import run

    museums = write_museums(tmp_path, 4, views=1)
    lines = read_lines(museums)
    # The first two would be those to train on.
    for line in lines[:without]:
        del line["description"]
    write_lines(museums, lines)
    said: list[str] = []
    run(museums, tmp_path / "store", clip_folder, lines=said, dtype="float16")
    assert said[-1] == (
        f"note: museums without a description: {without}; they are found by their "
        "pictures only"
    )
    store = open_store(tmp_path / "store")
    assert verify_store(store.path) == []
    assert store.undescribed == without
    assert store.sentences.lengths.tolist() == [0] * without + [4] * (4 - without)
    splits = {name: rows.tolist() for name, rows in store.splits.items()}
    assert splits == ({"val": [2], "test": [3]} if without == 2 else {})
    assert splits_line(store.manifest).endswith(
        f"{without} without a description, in no split"
    )
    assert np.array_equal(chosen_museums(store, ()), np.arange(4))
    build(IndexInputs("zero-shot", str(store.path)), tmp_path / "index")
    asked = Query(4, text="A hall with a marble floor.", match="pictures")
    found = search(
        SearchSettings(tmp_path / "index", asked, pretrained=str(clip_folder))
    )
    assert sorted(hit.id for hit in found.hits) == [f"museum-{i}" for i in range(4)]
    assert found.fits is (None if without == 4 else found.fits)
    if without == 2:
        assert isinstance(found.fits, bool)
