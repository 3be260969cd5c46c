"""Shards that begin at one moment, and input that goes away: real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hm3_jax.extraction import chunk_encoder
from hm3_jax.extraction.errors import FileSystemFailure
from hm3_jax.extraction.texts import TextSplit
from hm3_jax.extraction.work_folder import WorkFolder
from tests.conftest import REPOSITORY
from tests.extraction.museum_folder import write_lines, write_museums, write_picture
from tests.extraction.runs import contents, run

pytest.importorskip("open_clip")
pytest.importorskip("av")

ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
SENTENCES, WINDOWS = "sentence_by_sentence", "max_len"


def begin_together(museums, clip_folder, folder, strategies):
    """Exit code and complaint of two shards of one store, each with its own facts."""
    (folder / "meet").mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.extraction.racing_run", museums, clip_folder]
            + [folder / "store", str(index), folder / "meet", strategy],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index, strategy in enumerate(strategies)
    ]
    said = [process.communicate()[1] for process in processes]
    return [(p.returncode, text) for p, text in zip(processes, said, strict=True)]


@pytest.mark.thorough
def test_of_shards_with_unlike_facts_one_is_refused(museums, clip_folder, tmp_path):
    strategies = (SENTENCES, WINDOWS)
    ends = begin_together(museums, clip_folder, tmp_path, strategies)
    assert sorted(code for code, _ in ends) == [0, 2], ends
    won = [code for code, _ in ends].index(0)
    lost = 1 - won
    assert ends[lost][1] == (
        f"{tmp_path / 'store.extraction'}: begun with settings.text_split.strategy "
        f"{strategies[won]!r}, found {strategies[lost]!r}: give the same again, name "
        "another --output, or remove the folder\n"
    )
    # The other goes on to a store of nothing but its own facts.
    split = {"text_split": TextSplit(strategies[won])}
    run(museums, tmp_path / "store", clip_folder, settings=split)
    run(museums, tmp_path / "wanted", clip_folder, settings=split)
    assert contents(tmp_path / "store") == contents(tmp_path / "wanted")


@pytest.mark.thorough
def test_shards_with_the_same_facts_begin_one_extraction(
    museums, clip_folder, tmp_path
):
    ends = begin_together(museums, clip_folder, tmp_path, (SENTENCES, SENTENCES))
    assert ends == [(0, ""), (0, "")]
    run(museums, tmp_path / "store", clip_folder, joined=True)
    run(museums, tmp_path / "wanted", clip_folder)
    assert contents(tmp_path / "store") == contents(tmp_path / "wanted")


def test_without_hard_links_the_last_record_counts(
    museums, clip_folder, tmp_path, monkeypatch
):
    def refuse(*names, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    run(museums, tmp_path / "store", clip_folder, shards=2)
    with pytest.raises(ValueError, match=r"settings\.batch_size 2, found 3"):
        run(museums, tmp_path / "store", clip_folder, settings={"batch_size": 3})
    run(museums, tmp_path / "store", clip_folder)


def test_a_plan_that_was_not_written_is_made_again(museums, clip_folder, tmp_path):
    run(museums, tmp_path / "store", clip_folder, shards=2)
    # As if the process had ended between the two.
    (tmp_path / "store.extraction" / "plan.json").unlink()
    run(museums, tmp_path / "store", clip_folder)
    run(museums, tmp_path / "wanted", clip_folder)
    assert contents(tmp_path / "store") == contents(tmp_path / "wanted")


def test_a_share_that_goes_costs_nothing(clip_folder, tmp_path, monkeypatch):
    museums = write_museums(tmp_path / "share", 4)
    listed = tmp_path / "lists" / "museums.jsonl"
    listed.parent.mkdir()
    for name in ("museums.jsonl", "artworks.jsonl"):
        (museums.parent / name).rename(listed.parent / name)
    real, saved = chunk_encoder.save_chunk, []

    def save(folder, mark, chunk, encoded):
        real(folder, mark, chunk, encoded)
        saved.append(chunk.name)
        if chunk.name == "pictures-000000":
            museums.parent.rename(tmp_path / "unmounted")
            museums.parent.mkdir()

    from hm3_jax.extraction.settings import Sources

    monkeypatch.setattr(chunk_encoder, "save_chunk", save)
    monkeypatch.setattr(
        "tests.extraction.runs.Sources",
        lambda **paths: Sources(**paths, input_root=museums.parent),
    )
    with pytest.raises(FileSystemFailure, match="share: gone, or not the same folder"):
        run(listed, tmp_path / "store", clip_folder)
    assert saved[-1] == "pictures-000000"
    # Nor does the same command while the share is away.
    with pytest.raises(FileNotFoundError, match="share: expected the files .* none of"):
        run(listed, tmp_path / "store", clip_folder)
    assert not (tmp_path / "store").exists()
    museums.parent.rmdir()
    (tmp_path / "unmounted").rename(museums.parent)
    done = len(saved)
    run(listed, tmp_path / "store", clip_folder)
    assert not set(saved[:done]) & set(saved[done:])
    report = json.loads((tmp_path / "store" / "extraction_report.json").read_text())
    assert report["skipped"] == []


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="needs a file that gives EIO: Linux"
)
@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_the_command_stops_at_an_error_of_the_kernel(
    run_module, clip_folder, tmp_path, workers
):
    write_picture(tmp_path / "a.png", 0)
    views = [str(tmp_path / "a.png").lstrip("/"), "proc/self/mem"]
    museum = {"id": "m", "split": "train", "theme": "t", "description": "A text."}
    write_lines(tmp_path / "museums.jsonl", [museum | {"rooms": [{"views": views}]}])
    result = run_module(
        "hm3_jax.extract",
        *("--museums=museums.jsonl", "--input_root=/", "--output=store"),
        *(f"--pretrained={clip_folder}", f"--num_workers={workers}"),
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "/mem: Input/output error" in line
    assert "the same command continues from there" in result.stdout
    assert not (tmp_path / "store").exists()
    assert WorkFolder(tmp_path / "store").record() is not None
