"""Conversions of every strategy: bits there and back, and what torch makes of them."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save

from hm3_jax.app.conversion import Conversion, Form, convert
from hm3_jax.app.models import load_checkpoint
from hm3_jax.files.facts import file_facts
from hm3_jax.interop.shared_facts import facts_text, read_facts
from hm3_jax.interop.torch_weights import from_torch
from hm3_jax.learn.model import Model, draw_params, take_run
from hm3_jax.learn.saved import checkpoint
from hm3_jax.learn.saved.checkpoint import Checkpoint
from hm3_jax.nn.interaction_strategy import LateInteractionConfig
from hm3_jax.nn.strategy import ConvConfig, Masking, hm3_strategy
from tests import golden_data
from tests.learn import small

FACTS = {
    "sentences": {"feature_size": 24, "model": "ViT-B-32", "details": {"gap": 0.7}},
    "views": {"feature_size": 24, "model": "ViT-B-32", "weights": None},
}


def ours(stem: str, masking: Masking = "time") -> Checkpoint:
    """A model as training would end with it: no weight is that of the release."""
    config = golden_data.strategy(stem)
    state = golden_data.arrays(stem)
    released = from_torch(
        {k.removeprefix("param/"): v for k, v in state.items() if "param/" in k}, config
    )
    rng = np.random.default_rng(len(stem))
    params = jax.tree.map(
        lambda x: rng.uniform(-0.6, 0.6, x.shape).astype(np.float32), released
    )
    settings = dataclasses.asdict(small.SETTINGS) | {"try": 2, "lr": 1 / 3}
    return Checkpoint(
        Model(config.masked(masking), params, FACTS),
        epoch=7,
        optimizer={"count": np.int32(3)},
        progress={"epoch": 7},
        settings=settings,
    )


def to(source: Path, source_form: Form, output: Path, output_form: Form, **more):
    convert(
        Conversion(
            source=str(source),
            source_form=source_form,
            output=output,
            output_form=output_form,
            **more,
        )
    )
    return output


def interaction(**settings) -> Checkpoint:
    """A model of late interaction, as training would end with it."""
    config = LateInteractionConfig(name="late_interaction_video", size=24, **settings)
    rng = np.random.default_rng(5)
    params = jax.tree.map(
        lambda x: rng.uniform(-0.6, 0.6, x.shape).astype(np.float32),
        take_run(draw_params(config, jax.random.key(0)[None]), 0),
    )
    return Checkpoint(
        Model(config, params, FACTS),
        epoch=7,
        optimizer={"count": np.int32(3)},
        settings=dataclasses.asdict(small.SETTINGS) | {"try": 2, "lr": 1 / 3},
    )


def same_bits(found: Model, wanted: Model) -> None:
    assert found.config == wanted.config
    bits = [
        jax.tree.map(lambda x: (x.dtype, x.shape, x.tobytes()), m.params)
        for m in (found, wanted)
    ]
    assert bits[0] == bits[1]


@pytest.mark.filterwarnings("ignore:.*this 1-D CNN masks time")
@pytest.mark.parametrize("stem", golden_data.STRATEGIES)
def test_there_and_back_every_bit_is_the_same(tmp_path, stem):
    saved = ours(stem)
    checkpoint.save(tmp_path / "ours", "best", saved)
    released = to(tmp_path / "ours", "orbax", tmp_path / "released", "pytorch")
    back = to(released, "pytorch", tmp_path / "back", "orbax", cnn1d_masking="time")
    found = checkpoint.load_model(back)
    same_bits(found.model, saved.model)
    # The release's form has no place for them.
    assert found.model.feature_facts is None and found.settings is None

    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    again = to(shared, "shared", tmp_path / "again", "orbax")
    for found in (load_checkpoint(shared), load_checkpoint(again)):
        same_bits(found.model, saved.model)
        assert found.model.feature_facts == FACTS
        assert found.settings == saved.settings
        assert (found.epoch, found.optimizer, found.progress) == (7, None, None)
    for name in ("config.json", "model.safetensors"):
        assert (shared / name).read_bytes() == (released / name).read_bytes()
    from_shared = to(shared, "shared", tmp_path / "from_shared", "pytorch")
    assert small.contents(from_shared) == small.contents(released)


@pytest.mark.parametrize(
    "settings",
    [
        {"themes": 0},
        {"themes": 4, "context": True, "theme_weight": 0.2, "sharpness": 7.5},
        {"themes": 0, "order": 0, "sizes": 0},
        {"themes": 0, "whole": 8},
    ],
)
def test_late_interaction_comes_back_bit_by_bit(tmp_path, settings):
    saved = interaction(**settings)
    checkpoint.save(tmp_path / "ours", "best", saved)
    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    again = to(shared, "shared", tmp_path / "again", "orbax")
    twice = to(again, "orbax", tmp_path / "twice", "shared")
    for folder in (shared, again, twice):
        found = load_checkpoint(folder)
        same_bits(found.model, saved.model)
        assert found.model.feature_facts == FACTS
        assert found.settings == saved.settings
        assert (found.epoch, found.optimizer, found.progress) == (7, None, None)
    assert small.contents(twice) == small.contents(shared)
    held = load_file(shared / "model.safetensors")
    leaves = jax.tree_util.tree_leaves_with_path(dict(saved.model.params))
    assert {name: array.tobytes() for name, array in held.items()} == {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf.tobytes()
        for path, leaf in leaves
    }


def test_the_release_has_no_late_interaction(tmp_path):
    checkpoint.save(tmp_path / "ours", "best", interaction(themes=0))
    with pytest.raises(ValueError, match="found late_interaction_video: --to=shared w"):
        to(tmp_path / "ours", "orbax", tmp_path / "released", "pytorch")
    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    with pytest.raises(
        ValueError, match="found late_interaction_video, which .*--from"
    ):
        to(shared, "pytorch", tmp_path / "again", "orbax")
    assert not (tmp_path / "released").exists()
    assert not (tmp_path / "again").exists()


def change_weights(shared: Path, **changed: np.ndarray) -> None:
    """As somebody would who also mends the checksums."""
    file = shared / "model.safetensors"
    file.write_bytes(save({**load_file(file), **changed}))
    facts, files = read_facts(shared / "hm3_jax.json")
    files["model.safetensors"] = file_facts(file)
    (shared / "hm3_jax.json").write_text(facts_text(facts, files))


@pytest.mark.parametrize(
    ("name", "array", "complaint"),
    [
        ("scene.views.mean", np.zeros(25, np.float32), "views.mean is expected of sh"),
        ("scene.views.mean", np.zeros(24, np.float64), "scene.views.mean expected fl"),
        ("scene.views.mean.x", np.zeros(1, np.float32), "mean is an array already"),
        ("other", np.zeros(1, np.float32), "other is expected missing, found of shap"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path, name, array, complaint):
    checkpoint.save(tmp_path / "ours", "best", interaction(themes=0))
    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    change_weights(shared, **{name: array})
    with pytest.raises(ValueError, match=complaint) as raised:
        load_checkpoint(shared)
    assert str(raised.value).startswith(f"{shared / 'model.safetensors'}: ")
    assert "\n" not in str(raised.value)


def test_damaged_weights_of_late_interaction_are_named(tmp_path):
    checkpoint.save(tmp_path / "ours", "best", interaction(themes=0))
    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    file = shared / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="safetensors: damaged, or not the file that"):
        load_checkpoint(shared)


def test_the_card_says_how_late_interaction_compares(tmp_path):
    saved = interaction(themes=4, context=True, whole=8)
    checkpoint.save(tmp_path / "ours", "best", saved)
    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    text = (shared / "README.md").read_text()
    for line in (
        "a vector of 24 numbers of every sentence",
        "Strategy `late_interaction_video_whole`: an item's vector depends on its room",
        "the cosine of two vectors of 8 numbers, of the whole description and of",
        "it tells 4 themes apart",
        "Inputs: sentences, views, videos. Weights after 7 epochs.",
        "| views | 24 | ViT-B-32 |",
        "PyTorch release has no such model.",
    ):
        assert line in text, line
    assert "from_pretrained" not in text and "1-D CNN" not in text


@pytest.mark.parametrize("masking", ["time", "channels"])
def test_the_masking_is_kept(tmp_path, masking, recwarn):
    saved = ours("rnn_cnn1d", masking)
    checkpoint.save(tmp_path / "ours", "best", saved)
    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    again = to(shared, "shared", tmp_path / "again", "orbax")
    config = hm3_strategy(saved.model.config)
    assert isinstance(config.museum, ConvConfig)
    for folder in (shared, again):
        assert load_checkpoint(folder).model.config.cnn1d_masking == masking
    assert len(recwarn) == (masking == "time")


@pytest.mark.filterwarnings("ignore:.*this 1-D CNN masks time")
@pytest.mark.parametrize("stem", golden_data.STRATEGIES)
def test_torch_embeds_alike(tmp_path, stem):
    torch = pytest.importorskip("torch")
    from tests.interop.torch_towers import TwoTowers

    saved = ours(stem)
    checkpoint.save(tmp_path / "ours", "best", saved)
    released = to(tmp_path / "ours", "orbax", tmp_path / "released", "pytorch")
    model = TwoTowers(released)
    descriptions, museums = golden_museums()
    wanted = [
        torch.stack([model.description(sentences) for sentences in descriptions]),
        torch.stack([model.museum(rooms) for rooms in museums]),
    ]
    found = golden_data.embeddings(hm3_strategy(saved.model.config), saved.model.params)
    for ours_, theirs in zip(found, wanted, strict=True):
        assert np.abs(theirs.numpy()).max() > 0.1
        np.testing.assert_allclose(ours_, theirs.numpy(), rtol=0, atol=1e-5)


def golden_museums():
    """The golden museums, each apart: sentences, and items of each of its rooms."""
    import torch

    arrays = golden_data.arrays("museums")

    def sets(rows: str, lengths: str):
        return torch.from_numpy(arrays[rows]).split(arrays[lengths].tolist())

    columns = {
        "views": sets("povs", "povs_per_room"),
        "images": sets("images", "images_per_room"),
        "videos": sets("videos", "videos_per_room"),
    }
    rooms = iter(
        dict(zip(columns, of_room, strict=True))
        for of_room in zip(*columns.values(), strict=True)
    )
    museums = [[next(rooms) for _ in range(count)] for count in arrays["rooms"]]
    return sets("desc", "desc_len"), museums


def test_what_is_shared_is_in_one_file_of_json(tmp_path):
    checkpoint.save(tmp_path / "ours", "best", ours("rnn_rnn"))
    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    assert sorted(path.name for path in shared.iterdir()) == [
        "README.md",
        "config.json",
        "files.json",
        "hm3_jax.json",
        "model.safetensors",
    ]
    facts = json.loads((shared / "hm3_jax.json").read_text())
    assert facts["format_version"] == 1 and facts["origin"] is None
    for path in shared.iterdir():
        assert path.stat().st_mode & 0o777 == shared.stat().st_mode & 0o666


def test_a_checkpoint_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    """An error or a full disk on the way, and then the same command goes through."""
    stem = "rnn_meanPoolProc"
    wanted = ours(stem)
    checkpoint.save(tmp_path / "ours", "last", wanted)
    shared = to(tmp_path / "ours", "orbax", tmp_path / "shared", "shared")
    before = sorted(tmp_path.iterdir())
    output = tmp_path / "again"

    def full(folder: Path, tree: object) -> None:
        folder.mkdir()
        (folder / "half").write_text("x")
        raise OSError(f"{folder}: No space left on device [OS error 28: ENOSPC]")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_arrays", full)
        with pytest.raises(OSError, match="No space left on device") as raised:
            to(shared, "shared", output, "orbax")
    assert raised.value.filename == str(output / "checkpoints" / "best" / "7")
    assert sorted(tmp_path.iterdir()) == before
    to(shared, "shared", output, "orbax")
    same_bits(load_checkpoint(str(output)).model, wanted.model)
