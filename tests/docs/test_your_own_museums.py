"""docs/your_own_museums.md: its commands run, as they stand there."""

import re
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data.store import open_store
from tests.commands import code_blocks, output_of_script

pytest.importorskip("open_clip")


@pytest.mark.thorough
def test_the_commands_make_and_test_a_model(repository: Path, tmp_path: Path) -> None:
    blocks = code_blocks(repository / "docs" / "your_own_museums.md", "bash")
    assert "".join(blocks).count("python ") > 8
    shown = output_of_script(blocks, tmp_path, repository)
    store = open_store(tmp_path / "my_store")
    tested = store.splits["test"]
    museums = [store.ids[i] for i in tested]
    assert sorted(museums) == ["harbour museum", "rose museum"]
    pictures = np.add.reduceat(store.views.lengths, store.room_offsets[:-1])
    assert pictures[tested].sum() == 10
    assert (tmp_path / "my_test" / "metrics.json").is_file()
    # Two searches, the trained model's last; of one command, the index.
    assert shown.count("note: test has 2 museums") > 0
    *_, last = re.findall(r"^ +1\. +-?\d\.\d+  (.*?)  \(", shown, re.M)
    assert last in store.ids
    assert (tmp_path / "my_collection" / "index" / "manifest.json").is_file()
