"""Extraction by Ray's workers: the same bytes, also after one of them was killed."""

import dataclasses
import importlib.util
import logging
import os
import signal
from pathlib import Path

import pytest

from hm3_jax.extraction import ray_engine
from hm3_jax.extraction.errors import UnreadableInput
from hm3_jax.extraction.ray_engine import ChunkTask, encode_chunks
from hm3_jax.extraction.settings import Share
from tests.extraction.museum_folder import write_museums
from tests.extraction.runs import contents, run

# Ray leaves sockets and files to the garbage collector, and warns of its own future.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def cluster():
    """Ray's embedded mode: a cluster of this machine, for as long as the tests run."""
    ray = pytest.importorskip("ray", reason="needs ray")
    pytest.importorskip("open_clip")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100_000_000,
    )
    yield
    ray.shutdown()


@pytest.fixture
def museums(tmp_path) -> Path:
    return write_museums(tmp_path / "museums", 3, videos=False)


def dies_once(task: ChunkTask):
    """`encode_chunks`, but the first worker is killed between two chunks."""
    killed = task.output.parent / "killed"
    if len(task.chunks) > 1 and not killed.exists():
        encode_chunks(dataclasses.replace(task, chunks=task.chunks[:1]))
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return encode_chunks(task)


@pytest.mark.thorough
def test_the_same_bytes_also_after_a_worker_was_killed(
    cluster, museums, clip_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(ray_engine, "encode_chunks", dies_once)
    monkeypatch.setattr(ray_engine, "_TASKS_OF_A_SLOT", 1)
    # Several chunks a task, however many threads PyTorch takes.
    monkeypatch.setattr(ray_engine, "_slots", lambda resources: 1)
    lines: list[str] = []
    run(museums, tmp_path / "store", clip_folder, engine="ray", lines=lines)
    assert (tmp_path / "killed").exists()
    assert any(line.startswith("pictures: 15 of 15") for line in lines), lines
    run(museums, tmp_path / "alone", clip_folder)
    assert contents(tmp_path / "store") == contents(tmp_path / "alone")
    # What cannot be read ends a run that is told so, in the words of one machine.
    (museums.parent / "art" / "painting_1.png").write_text("no picture")
    with pytest.raises(UnreadableInput, match=r"painting_1\.png: expected a picture"):
        run(museums, tmp_path / "other", clip_folder, engine="ray", on_error="fail")
    assert not (tmp_path / "other").exists()


def test_without_ray_one_line_says_what_to_install(
    museums, clip_folder, tmp_path, monkeypatch
):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ray" else real(name)
    )
    with pytest.raises(ModuleNotFoundError, match=r"needs ray, .* core ray$"):
        run(museums, tmp_path / "store", clip_folder, engine="ray")


@pytest.mark.parametrize(
    ("share", "named"),
    [
        ({"engine": "ray", "shards": 2}, "--engine=ray .*--num_shards=2"),
        ({"ray_address": "auto"}, "--ray_address .*--engine=local"),
    ],
)
def test_what_does_not_go_together(share, named):
    with pytest.raises(ValueError, match=named):
        Share(**share)
