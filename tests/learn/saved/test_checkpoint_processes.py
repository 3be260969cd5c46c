"""Checkpoints of a run of two processes: process 0 saves, and waits for nobody."""

import socket
import subprocess
import sys
from pathlib import Path

from hm3_jax.learn.saved import checkpoint
from tests.learn.saved.test_checkpoint import FULL, same

# Process 1 does nothing until process 0 has saved and loaded: were there a barrier in
# saving, they would wait for each other.
PROCESS = """
import sys, time
from pathlib import Path
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_cpu_collectives_implementation", "gloo")
address, number, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
jax.distributed.initialize(address, 2, number)
assert jax.process_count() == 2 and jax.device_count() == 2
from hm3_jax.learn.saved import checkpoint
from tests.learn.saved.test_checkpoint import FULL
done = folder / "done"
if number == 0:
    checkpoint.save_many([(folder / n, "last", FULL) for n in ("a", "b")])
    checkpoint.load(folder / "a", "last", 3, optimizer=True)
    done.touch()
else:
    while not done.exists():
        time.sleep(0.05)
    checkpoint.load_model(folder / "a")
    try:
        checkpoint.save(folder / "c", "last", FULL)
    except RuntimeError as error:
        print(error)
"""


def test_process_0_saves_alone(tmp_path, repository):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, address, str(number), tmp_path],
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    try:
        said = [process.communicate(timeout=120)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "".join(said)
    assert "checkpoints are saved by process 0, not 1" in said[1]
    assert not Path(tmp_path / "c").exists()
    for name in ("a", "b"):
        found = checkpoint.load(tmp_path / name, "last", 3, optimizer=True)
        same(found.model.params, FULL.model.params)
        same(found.optimizer, FULL.optimizer)
