"""Extractions that are killed: `python -m tests.extraction.killed_runs`.

    killed_runs MUSEUMS CLIP_FOLDER FOLDER KILLS SEED

Every operation on files below FOLDER counts. An extraction runs once to count them;
then KILLS more, each into a store of its own, are killed (SIGKILL) before a random one
of them (0: before each) and begun again. Prints one line for each kill: the store and
the operation before which it was killed. PyTorch and the model are loaded once, and
each extraction is a fork: this way a kill takes a fraction of a second.
"""

import os
import random
import signal
import sys
from pathlib import Path

from hm3_jax.extraction import run as run_module
from hm3_jax.extraction.clip_choice import ClipChoice
from tests.extraction.runs import run

_OPERATIONS = {
    "open",
    "os.listdir",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.scandir",
    "shutil.rmtree",
}


def counted(folder: Path, kill_before: int | None, count) -> None:
    """Counts operations on files below `folder` from now on; dies before one."""

    def watch(event: str, arguments: tuple) -> None:
        if event not in _OPERATIONS:
            return
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return
        if os.fsdecode(path).startswith(str(folder)):
            count[0] += 1
            if count[0] == kill_before:
                message = f"{event} {Path(os.fsdecode(path)).name}\n"
                os.write(1, message.encode())
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def fork(museums: Path, output: Path, clip: Path, kill_before: int | None) -> int:
    """Extracts in a process of its own; returns the operations, -1 if killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        count = [0]
        counted(output.parent, kill_before, count)
        run(museums, output, clip)
        os.write(writer, str(count[0]).encode())
        os._exit(0)
    os.close(writer)
    status = os.waitpid(child, 0)[1]
    said = os.read(reader, 100)
    os.close(reader)
    if os.WIFSIGNALED(status):
        return -1
    if status:
        raise SystemExit(f"{output}: extraction failed with status {status}")
    return int(said)


def main() -> None:
    museums, clip, folder = map(Path, sys.argv[1:4])
    kills, seed = map(int, sys.argv[4:])
    model = run_module.load_clip(ClipChoice(None, str(clip), "float32"), "cpu")
    run_module.load_clip = lambda *_: model
    operations = fork(museums, folder / "whole" / "store", clip, None)
    points = random.Random(seed).sample(range(1, operations + 1), kills or operations)
    for number, point in enumerate(points):
        output = folder / f"killed_{number}" / "store"
        output.parent.mkdir()
        print(output, point, "of", operations, end=" ", flush=True)
        if fork(museums, output, clip, point) != -1:
            raise SystemExit(f"{output}: expected to be killed, was not")
        fork(museums, output, clip, None)


if __name__ == "__main__":
    main()
