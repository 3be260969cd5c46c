"""Makes what stages work on: `python -m benchmarks.gpu.data SETTING`

Runs beside the first stages, which do not need it. What is there stays.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import extraction_museums
from benchmarks.gpu.setting import Setting
from benchmarks.in_process import REPOSITORY
from hm3_jax.files.durable import whole_or_absent


def main() -> None:
    """Makes the store, the pictures, the encoder."""
    setting = Setting.of_text(sys.argv[1])
    if not setting.store.exists():
        subprocess.run(
            [sys.executable, "-m", "hm3_jax.synthesize", "--seed=0"]
            + [f"--output={setting.store}", f"--museums={setting.museums}"],
            cwd=REPOSITORY,
            check=True,
        )
    if setting.miniature:
        extraction_museums.VIEW_SIZE = extraction_museums.PAINTING_SIZE = (64, 48)
    folder = setting.pictures.parent
    if not folder.parent.exists():
        with whole_or_absent(folder.parent) as made:
            extraction_museums.write_museums(made / folder.name, setting.pictured)


def clip_of(setting: Setting) -> Path:
    """Folder of an encoder with random weights, made where it is missing."""
    path = setting.folder / "encoder" / "clip"
    if path.exists():
        return path
    with whole_or_absent(path.parent) as made:
        if setting.miniature:
            from tests.extraction.clips import QUICK, random_clip, save_folder

            save_folder(made / path.name, QUICK, random_clip(QUICK))
        else:
            extraction_museums.save_random_clip(made / path.name)
    return path


if __name__ == "__main__":
    main()
