"""From a folder of pictures to an index and its page, in one call.

| in the output | contents |
|---|---|
| `list/` | the museum list of the folder |
| `store/` | features of its pictures and texts |
| `index/` | the museums, for search without training |
| `page/` | the list without unreadable files, numbered like the store |
| `left_out.txt` | files that were left out, and why; absent if there are none |
| `made.json` | what the index was made from |
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hm3_jax import __version__
from hm3_jax.app import index_commands
from hm3_jax.app.index_commands import IndexInputs
from hm3_jax.app.model_names import ZERO_SHOT
from hm3_jax.data.museum_jsonl import (
    MUSEUMS,
    MuseumFiles,
    RawMuseum,
    read_museum_files,
    write_museum_files,
)
from hm3_jax.data.raw_sources.common import RawSet, some_of
from hm3_jax.data.raw_sources.folder import read_folder
from hm3_jax.data.store import Manifest
from hm3_jax.extraction.presets import Preset
from hm3_jax.extraction.report import REPORT, left_out_by_reason
from hm3_jax.extraction.run import extract
from hm3_jax.extraction.settings import FeatureSettings, Share, Sources, StoreForm
from hm3_jax.extraction.work_folder import WorkFolder
from hm3_jax.files.durable import write_whole
from hm3_jax.files.facts import file_facts
from hm3_jax.files.input_kinds import ROOM_KINDS
from hm3_jax.files.json_files import json_text, read_object

LIST, STORE, INDEX, PAGE = "list", "store", "index", "page"
LEFT_OUT, MADE = "left_out.txt", "made.json"

# Of the data set; whatever the folder is called later, its store can be added to.
_NAME = "collection"

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSettings:
    """A folder of museums, and what to make of it.

    Attributes:
        source: The folder, as `read_folder` takes it.
        output: Folder to make, or one that this made, to bring up to date.
        preset: The CLIP model, and how texts and videos are read.
        device: PyTorch's name of a device, or "auto".
        num_workers: Processes that decode; None to choose.
    """

    source: Path
    output: Path
    preset: Preset
    device: str = "auto"
    num_workers: int | None = None

    @property
    def page_list(self) -> Path:
        """The museum list of the page."""
        return self.output / PAGE / MUSEUMS


def make_collection(settings: CollectionSettings, say: Say = print) -> None:
    """Makes an index of a folder of museums, or brings it up to date.

    Finished parts are kept: after an interruption, the same call continues. A later
    call adds what is new in the folder, drops what has gone, and tries again what could
    not be read.

    Args:
        settings: What to do.
        say: Takes lines about what is done, and how long it took.

    Raises:
        FileNotFoundError: There is no such folder, or the model's weights are missing.
        FileExistsError: The output was made with another model, or by something else.
        ValueError: The folder has no museum, or contradicts itself; the model is not
            valid.
        ModuleNotFoundError: A package that extraction needs is not installed.
        FileSystemFailure: The file system failed.
    """
    output = settings.output
    if output.is_dir() and any(output.iterdir()) and not (output / LIST).is_dir():
        raise FileExistsError(
            f"{output}: expected no such folder, or one that this command made, found "
            "another"
        )
    begun = time.monotonic()
    if WorkFolder(output / STORE).record() is not None:
        # With the list of then, or what it has encoded would be lost.
        with _step("continuing what was interrupted", say):
            _extract(settings, say)
    with _step(f"1/3 looking for museums in {settings.source}", say):
        raw = read_folder(settings.source)
        if not raw.museums:
            reasons = "".join(f"; {note}" for note in raw.notes)
            raise ValueError(
                f"{settings.source}: expected folders of museums with pictures, found "
                f"none{reasons}"
            )
        write_museum_files(output / LIST, raw.museums, replace=True)
        say(raw.summary())
    with _step(
        "2/3 reading pictures, videos and texts with CLIP, whose weights are "
        "downloaded the first time",
        say,
    ):
        manifest = _extract(settings, say)
    with _step("3/3 making the index", say):
        report = read_object(output / STORE / REPORT)
        listed = read_museum_files(output / LIST / MUSEUMS, root=settings.source)
        shown = as_stored(listed, report)
        write_museum_files(output / PAGE, shown, replace=True)
        _index(settings, manifest, say)
    _say_left_out(output / LEFT_OUT, raw, report, say)
    say(f"ready after {time.monotonic() - begun:.1f} s: {output}")


def _extract(settings: CollectionSettings, say: Say) -> Manifest:
    output, preset = settings.output, settings.preset
    manifest = extract(
        Sources(
            museums=output / LIST / MUSEUMS,
            output=output / STORE,
            input_root=settings.source,
        ),
        preset.clip,
        FeatureSettings(
            text_split=preset.text_split,
            video_pooling=preset.video_pooling,
            frames_per_second=preset.frames_per_second,
            max_frames=preset.max_frames,
        ),
        Share(num_workers=settings.num_workers),
        StoreForm(dataset_name=_NAME),
        device=settings.device,
        may_drop=True,
        say=say,
    )
    assert manifest is not None  # nobody else has a share
    return manifest


def as_stored(listed: MuseumFiles, report: Mapping[str, Any]) -> list[RawMuseum]:
    """The museums of a list without what an extraction has left out.

    Rooms and pictures then have the same numbers as in the store.

    Args:
        listed: The list.
        report: The extraction's.
    """
    skipped = {entry["item"] for entry in report["skipped"] if entry["kind"] != "texts"}
    left_out = {entry["museum"] for entry in report["museums_left_out"]}
    rooms_left_out = {
        (entry["museum"], entry["room"]) for entry in report["rooms_left_out"]
    }

    def is_read(reference: str) -> bool:
        file = listed.path_of(reference).relative_to(listed.root)
        return file.as_posix() not in skipped

    return [
        dataclasses.replace(
            museum,
            rooms=tuple(
                dataclasses.replace(
                    room,
                    **{k: tuple(filter(is_read, getattr(room, k))) for k in ROOM_KINDS},
                )
                for number, room in enumerate(museum.rooms)
                if (museum.id, number) not in rooms_left_out
            ),
        )
        for museum in listed.museums
        if museum.id not in left_out
    ]


def _index(settings: CollectionSettings, manifest: Manifest, say: Say) -> None:
    output = settings.output
    made = {
        "store": {name: facts.sha256 for name, facts in manifest.files.items()},
        "page": file_facts(settings.page_list).sha256,
        "version": __version__,
    }
    index = output / INDEX
    if index.is_dir() and _was_made(output) == made:
        try:
            index_commands.verify(index)
        except (ValueError, FileNotFoundError) as error:
            say(f"note: {error}; the index is made anew")
        else:
            say(f"{index} is up to date")
            return
    (output / MADE).unlink(missing_ok=True)
    shutil.rmtree(index, ignore_errors=True)
    inputs = IndexInputs(ZERO_SHOT, str(output / STORE), museums=settings.page_list)
    say(index_commands.build(inputs, index))
    write_whole(output / MADE, json_text(made))


def _was_made(output: Path) -> Mapping[str, Any] | None:
    """What the index was made of; None where nothing says so."""
    try:
        return read_object(output / MADE)
    except (ValueError, FileNotFoundError):
        return None


def _say_left_out(path: Path, raw: RawSet, report: Mapping[str, Any], say: Say) -> None:
    """Writes the file of what was left out; says why, with the first names."""
    by_reason = {**raw.left_out, **left_out_by_reason(report)}
    if not by_reason:
        path.unlink(missing_ok=True)
        return
    sections = ["\n  ".join([f"{why}:", *names]) for why, names in by_reason.items()]
    write_whole(path, "\n\n".join(sections) + "\n")
    for why, names in by_reason.items():
        say(f"note: {why}: {some_of(names)}")
    say(f"note: {path} lists everything that was left out")


@contextlib.contextmanager
def _step(what: str, say: Say) -> Iterator[None]:
    """Says what is done, and how long it took."""
    say(what)
    begun = time.monotonic()
    yield
    say(f"  took {time.monotonic() - begun:.1f} s")
