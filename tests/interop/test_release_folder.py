import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from hm3_jax.interop.release_folder import read_release_folder, write_release_folder
from hm3_jax.interop.torch_weights import from_torch
from hm3_jax.nn.strategy import hm3_strategy
from hm3_jax.nn.strategy_json import load_strategy

GOLDEN = Path(__file__).parents[1] / "golden"
STEM = "hier_by_room_rnn_2_meanPoolProc_image_video"
HUGGING_FACE = {
    "architectures": ["TwoTowers"],
    "model_type": "museum",
    "torch_dtype": "float32",
    "transformers_version": "4.46.3",
    "uses_audio_video_features": None,
}


@pytest.fixture
def state():
    with np.load(GOLDEN / f"{STEM}.npz") as arrays:
        return {
            name.removeprefix("param/"): arrays[name]
            for name in arrays.files
            if name.startswith("param/")
        }


@pytest.fixture
def config():
    return hm3_strategy(load_strategy(GOLDEN / f"{STEM}.json"))


@pytest.fixture
def folder(tmp_path):
    text = (GOLDEN / f"{STEM}.json").read_text()
    (tmp_path / "config.json").write_text(json.dumps(json.loads(text) | HUGGING_FACE))
    return tmp_path


def assert_same(params, expected):
    assert params.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, dict):
            assert_same(params[key], value)
        else:
            np.testing.assert_array_equal(params[key], value)


def test_safetensors(folder, state, config):
    save_file(state, folder / "model.safetensors")
    found, params = read_release_folder(folder)
    assert found == config
    assert_same(params, from_torch(state, config))


def test_pytorch_model_bin(folder, state, config):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(array) for name, array in state.items()}
    torch.save(tensors, folder / "pytorch_model.bin")
    found, params = read_release_folder(folder)
    assert found == config
    assert_same(params, from_torch(state, config))


def test_written_folder_is_read_back(tmp_path, state, config):
    params = from_torch(state, config)
    target = tmp_path / "deep" / "checkpoint"
    write_release_folder(target, config, params)
    found, again = read_release_folder(target)
    assert found == config
    assert_same(again, params)
    assert sorted(p.name for p in target.iterdir()) == [
        "config.json",
        "files.json",
        "model.safetensors",
    ]
    assert list(target.parent.iterdir()) == [target]
    assert set(load_file(target / "model.safetensors")) == set(state)


def test_written_weights_load_into_torch_layers(tmp_path, state, config):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file as load_torch

    write_release_folder(tmp_path / "out", config, from_torch(state, config))
    gru = torch.nn.GRU(24, 12, batch_first=True, bidirectional=True)
    prefix = "model_desc_pov.gru."
    tensors = load_torch(tmp_path / "out" / "model.safetensors")
    gru.load_state_dict(
        {
            name.removeprefix(prefix): value
            for name, value in tensors.items()
            if name.startswith(prefix)
        }
    )


def test_existing_target_is_refused(folder, state, config):
    with pytest.raises(FileExistsError, match=str(folder)):
        write_release_folder(folder, config, from_torch(state, config))


def test_unfit_parameters_leave_nothing_behind(tmp_path, state, config):
    params = from_torch(state, config)
    del params["text"]
    with pytest.raises(ValueError, match="text.kernel_ih is missing"):
        write_release_folder(tmp_path / "out", config, params)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_flipped_bit_is_found_by_the_list_of_files(tmp_path, state, config, name):
    params = from_torch(state, config)
    write_release_folder(tmp_path / "out", config, params)
    file = tmp_path / "out" / name
    sound = file.read_bytes()
    for place in (0, len(sound) // 2, len(sound) - 1):
        content = bytearray(sound)
        content[place] ^= 1
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: damaged: .*remove files.json"):
            read_release_folder(tmp_path / "out")
    # The release's own folders have no list; what it would say of one is not asked.
    file.write_bytes(sound)
    (tmp_path / "out" / "files.json").unlink()
    assert read_release_folder(tmp_path / "out")[0] == config


def test_missing_files_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="model.safetensors or pytorch_model"):
        read_release_folder(folder)
    with pytest.raises(FileNotFoundError, match="absent: expected a checkpoint folder"):
        read_release_folder(tmp_path / "absent")
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="config.json"):
        read_release_folder(folder)


def test_unfit_weights_name_their_file(folder, state):
    del state["model_pov.sequenceModel.trf_mean.bias"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(
        ValueError, match=r"model\.safetensors: .*trf_mean\.bias is missing"
    ):
        read_release_folder(folder)


def test_unknown_config_keys_are_refused(folder, state):
    save_file(state, folder / "model.safetensors")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_heads": 8}))
    with pytest.raises(ValueError, match=r"config\.json: .*unknown keys num_heads"):
        read_release_folder(folder)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: expected JSON"):
        read_release_folder(folder)
