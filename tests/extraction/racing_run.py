"""One of several extractions that begin at one moment.

    python -m tests.extraction.racing_run MUSEUMS CLIP STORE INDEX MEET STRATEGY

It waits, when it has found that nobody has begun, until all have found that: MEET is a
folder in which each leaves a file. It ends as commands do: a line and exit code 2 if it
is refused.
"""

import sys
import time
from pathlib import Path
from typing import Any

from hm3_jax.extraction.texts import TextSplit
from hm3_jax.extraction.work_folder import WorkFolder
from tests.extraction.runs import run

SHARDS = 2


def main() -> None:
    museums, clip, store, index, meet, strategy = sys.argv[1:]
    look = WorkFolder.record
    split: Any = strategy

    def look_together(self):
        found = look(self)
        if found is None:
            (Path(meet) / index).touch()
            while len(list(Path(meet).iterdir())) < SHARDS:
                time.sleep(0.002)
        return found

    WorkFolder.record = look_together
    try:
        run(
            Path(museums),
            Path(store),
            Path(clip),
            index=int(index),
            shards=SHARDS,
            settings={"text_split": TextSplit(split)},
        )
    except ValueError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
