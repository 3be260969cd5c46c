"""convert as a user runs it, on what the published release would have written."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hm3_jax.data.museum import ArtworkTable, MuseumRecord, RoomRecord
from hm3_jax.data.store import FeatureFacts
from tests import golden_data
from tests.commands import fail, succeed
from tests.learn import small

GOLDEN = "rnn_cnn1d_image_video"


def golden_store(path: Path) -> None:
    """The golden museums as the test split of a store."""
    arrays = golden_data.arrays("museums")

    def split(rows: np.ndarray, lengths: str) -> list[np.ndarray]:
        return np.split(rows, np.cumsum(arrays[lengths])[:-1])

    tables, hung = {}, {}
    for kind in ("images", "videos"):
        names = np.array([f"{kind}-{i}" for i in range(len(arrays[kind]))])
        tables[kind] = ArtworkTable(tuple(names.tolist()), arrays[kind])
        hung[kind] = [tuple(x.tolist()) for x in split(names, f"{kind}_per_room")]
    rooms = [
        RoomRecord(views, images, videos)
        for views, images, videos in zip(
            split(arrays["povs"], "povs_per_room"),
            hung["images"],
            hung["videos"],
            strict=True,
        )
    ]
    first = np.cumsum(arrays["rooms"]) - arrays["rooms"]
    museums = [
        MuseumRecord(
            id=f"museum-{i}",
            split="test",
            theme=f"theme-{arrays['theme'][i]}",
            sentences=sentences,
            rooms=tuple(rooms[first[i] : first[i] + arrays["rooms"][i]]),
        )
        for i, sentences in enumerate(split(arrays["desc"], "desc_len"))
    ]
    facts = {kind: FeatureFacts(24) for kind in small.SIZES}
    small.write(path, museums, facts=facts, artworks=tables, dtype="float32")


def golden_folder(path: Path, changes=lambda state: None) -> Path:
    """What the release's `save_pretrained` would write of a golden model."""
    arrays = golden_data.arrays(GOLDEN)
    state = {
        name.removeprefix("param/"): array
        for name, array in arrays.items()
        if name.startswith("param/")
    }
    changes(state)
    path.mkdir()
    shutil.copy(golden_data.GOLDEN / f"{GOLDEN}.json", path / "config.json")
    save_file(state, path / "model.safetensors")
    return path


def convert(run_module, source: Path | str, output: str, **forms: str):
    forms = {"from": "pytorch", "to": "orbax", **forms}
    flags = [f"--{flag}={value}" for flag, value in forms.items()]
    return run_module(
        "hm3_jax.convert", f"--input={source}", f"--output={output}", *flags
    )


@pytest.mark.thorough
def test_a_published_checkpoint_gives_the_published_embeddings(run_module, tmp_path):
    published = golden_folder(tmp_path / "published")
    golden_store(tmp_path / "store")
    shown = succeed(convert(run_module, published, "ours"))
    assert shown == f"{GOLDEN}: written to ours\n"
    arguments = ("--checkpoint=ours", "--features=store", "--output=evaluation")
    succeed(
        run_module("hm3_jax.evaluate", *arguments),
        warning="ours does not say which features it was trained on; only their sizes",
    )
    golden = golden_data.arrays(GOLDEN)
    with np.load(tmp_path / "evaluation" / "embeddings.npz") as found:
        for name, wanted in (("descriptions", "desc_out"), ("museums", "scene_out")):
            np.testing.assert_allclose(found[name], golden[wanted], rtol=0, atol=1e-6)
    forms = {"from": "orbax", "to": "pytorch"}
    succeed(convert(run_module, "ours", "back", **forms))
    before, after = (
        load_file(folder / "model.safetensors")
        for folder in (published, tmp_path / "back")
    )
    assert after.keys() == before.keys()
    for name, array in before.items():
        assert after[name].dtype == array.dtype
        np.testing.assert_array_equal(after[name], array)


def test_what_the_release_will_compute_otherwise_is_said(run_module, tmp_path):
    published = golden_folder(tmp_path / "published")
    succeed(convert(run_module, published, "ours", cnn1d_masking="time"))
    forms = {"from": "orbax", "to": "pytorch"}
    succeed(
        convert(run_module, "ours", "back", **forms),
        warning="ours: this 1-D CNN masks time; the published release masks channels",
    )


def drop(state):
    del state["model_pov.fc.bias"]


def cut(state):
    state["model_pov.fc.weight"] = state["model_pov.fc.weight"][:, 1:].copy()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (drop, "model_pov.fc.bias is missing, expected (12,)"),
        (cut, "model_pov.fc.weight expected (12, 42), found (12, 41)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(run_module, tmp_path, change, complaint):
    published = golden_folder(tmp_path / "published", change)
    result = convert(run_module, published, "ours")
    fail(result, f"{published / 'model.safetensors'}: ")
    fail(result, complaint)
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("forms", "complaint"),
    [
        ({"to": "pytorch"}, "expected two forms, found --from=pytorch --to=pytorch"),
        (
            {"from": "orbax", "to": "pytorch"},
            "nowhere: expected a checkpoint (a try_K folder of a run, or one made by",
        ),
        (
            {"from": "orbax", "to": "pytorch", "cnn1d_masking": "time"},
            "--cnn1d_masking is for --from=pytorch, found --from=orbax",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused(run_module, tmp_path, forms, complaint):
    fail(convert(run_module, "nowhere", "output", **forms), complaint)
    assert list(tmp_path.iterdir()) == []
