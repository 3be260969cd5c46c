r"""Kills and damages at random; see `benchmarks.soak`.

    python -m benchmarks.soak --minutes=60 --seed=1 --output=soak

Ends when the time is over, or when so many --kills and --damages are done. Writes
OUTPUT/soak.json and OUTPUT/soak.md, which Ctrl-C does too, and prints the table. The
exit code is 1 if there was a fault, 3 if only kills found any: where those come differs
from run to run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import traceback
from multiprocessing import Pipe
from pathlib import Path

from benchmarks.soak import forked
from benchmarks.soak.coverage import damaged_kinds
from benchmarks.soak.equality import Loader
from benchmarks.soak.readers import damage_until_closed
from benchmarks.soak.tally import GOOD, Record, Tally
from benchmarks.soak.whole_commands import WholeCommands

# Of the damages, those that whole commands read: one for so many kills.
_KILLS_A_DAMAGE = 4
_SECONDS_BETWEEN_LINES = 30.0
_SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    # Compiling takes longer than all else; nobody needs fast programs here.
    "XLA_FLAGS": "--xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true",
}


def main() -> int:
    """Reads the flags, and kills and damages."""
    asked = _asked()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="soak_"))
    os.environ.update(_SETTINGS)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "programs"))
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    began = time.monotonic()
    tally, failed = Tally(), False
    try:
        _say("importing, and making the artefacts")
        forked.prepare()
        loader = Loader()
        commands = WholeCommands(folder, asked.seed, loader.digest)
        tally = Tally(damaged_kinds(commands.world.path))
        # Compiled programs are only read from now on: a kill may fall into a write.
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "1e9"
        lane = _Lane(commands.world.path, folder, asked.seed)
        try:
            _soak(asked, commands, lane, tally)
        finally:
            lane.close()
            loader.close()
    except KeyboardInterrupt:
        for ending in (signal.SIGINT, signal.SIGTERM):
            signal.signal(ending, signal.SIG_IGN)
        _say("interrupted")
    except Exception:  # a fault of the soak's own: what it has found is not lost
        traceback.print_exc()
        failed = True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    minutes = (time.monotonic() - began) / 60
    about = {
        "seed": asked.seed,
        "minutes": round(minutes, 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    if asked.output:
        tally.write(Path(asked.output), about)
    print(tally.markdown())
    return 1 if failed else tally.code


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, help="most of them")
    parser.add_argument("--damages", type=int, help="most of them")
    parser.add_argument("--output", help="folder to write to")
    return parser.parse_args()


class _Lane:
    """The process that damages what it reads itself."""

    def __init__(self, world: Path, folder: Path, seed: int):
        self._world, self._folder, self._seed = world, folder, seed
        self._times = 0
        self._doing = -1
        self._start(0)

    def _start(self, first: int) -> None:
        self._answers, theirs = Pipe(duplex=False)
        self._process = os.fork()
        if self._process == 0:
            self._answers.close()
            where = self._folder / f"readers_{self._times}"
            damage_until_closed(self._world, where, self._seed, first, theirs)
        theirs.close()
        self._times += 1

    def records(self, seconds: float) -> list[tuple[Record, str]]:
        """What has come of its actions, after waiting for some at most so long."""
        found = []
        try:
            while self._answers.poll(seconds):
                answer = self._answers.recv()
                if isinstance(answer, int):
                    self._doing = answer
                else:
                    found.append(answer)
                    seconds = 0
        except EOFError:
            _, status = os.waitpid(self._process, 0)
            if self._doing < 0:
                raise SystemExit("soak: reading undamaged artefacts failed") from None
            said = f"the process ended with {os.waitstatus_to_exitcode(status)}"
            number = self._doing
            record = Record("damages", number, "?", "?", "traceback", said, whole=False)
            found.append((record, "?"))
            self._start(self._doing + 1)
        return found

    def close(self) -> None:
        """Ends the process."""
        self._answers.close()
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


def _soak(
    asked: argparse.Namespace, commands: WholeCommands, lane: _Lane, tally: Tally
) -> None:
    began = shown = time.monotonic()
    kills = damages = 0
    while True:
        now = time.monotonic()
        wants_kills = asked.kills is None or tally.total("kills") < asked.kills
        wants_damages = asked.damages is None or tally.total("damages") < asked.damages
        if now - began > 60 * asked.minutes or not (wants_kills or wants_damages):
            return
        if wants_damages:
            for record, way in lane.records(0 if wants_kills else 1):
                _add(tally, record, way)
        if wants_kills:
            killed = commands.kill(kills)
            if killed is not None:
                _add(tally, *killed)
            kills += 1
        if wants_damages and kills % _KILLS_A_DAMAGE == 0:
            _add(tally, *commands.damage(damages))
            damages += 1
        if now - shown > _SECONDS_BETWEEN_LINES:
            _say(f"{(now - began) / 60:.1f} min: {tally.line()}")
            shown = now


def _add(tally: Tally, record: Record, way: str) -> None:
    tally.add(record, way)
    if record.outcome not in GOOD:
        _say(
            f"{record.lane} {record.number}: {record.what}: {record.how}: "
            f"{record.outcome}: {record.said}"
        )


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(f"soak: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
