"""docs/your_own_museums.md: its commands run, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hm3_jax.data.store import open_store

pytest.importorskip("open_clip")


def commands(document: Path) -> str:
    """All of a document's shell code, as one script."""
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL)
    return "set -euo pipefail\n" + "\n".join(blocks)


@pytest.mark.thorough
def test_the_commands_make_and_test_a_model(repository: Path, tmp_path: Path) -> None:
    script = commands(repository / "docs" / "your_own_museums.md")
    assert script.count("python ") > 8
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ
        | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(repository),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    store = open_store(tmp_path / "my_store")
    tested = store.splits["test"]
    museums = [store.ids[i] for i in tested]
    assert sorted(museums) == ["harbour museum", "rose museum"]
    pictures = np.add.reduceat(store.views.lengths, store.room_offsets[:-1])
    assert pictures[tested].sum() == 10
    assert (tmp_path / "my_test" / "metrics.json").is_file()
    # Two searches, the trained model's last; of one command, the index.
    assert done.stdout.count("note: test has 2 museums") > 0
    *_, last = re.findall(r"^ +1\. +-?\d\.\d+  (.*?)  \(", done.stdout, re.M)
    assert last in store.ids
    assert (tmp_path / "my_collection" / "index" / "manifest.json").is_file()
