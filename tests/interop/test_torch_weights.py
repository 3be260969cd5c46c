import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from hm3_jax.interop.torch_weights import from_torch, to_torch
from hm3_jax.nn.strategy import hm3_strategy
from hm3_jax.nn.strategy_json import load_strategy, parse_strategy
from hm3_jax.nn.towers import TwoTowers

GOLDEN = Path(__file__).parents[1] / "golden"
STEMS = sorted(
    p.stem for p in GOLDEN.glob("*.json") if p.stem not in {"loss", "metrics"}
)


def golden(stem):
    with np.load(GOLDEN / f"{stem}.npz") as arrays:
        state = {
            name.removeprefix("param/"): arrays[name]
            for name in arrays.files
            if name.startswith("param/")
        }
    return hm3_strategy(load_strategy(GOLDEN / f"{stem}.json")), state


def shapes(tree):
    return jax.tree.map(np.shape, tree, is_leaf=lambda x: not isinstance(x, dict))


def refusal(call, tree, config):
    with pytest.raises(ValueError) as info:
        call(tree, config)
    message = str(info.value)
    assert "\n" not in message and config.file_stem in message
    return message


def test_all_golden_states_are_covered():
    assert len(STEMS) == 29


@pytest.mark.parametrize("stem", STEMS)
def test_round_trips_are_exact(stem):
    config, state = golden(stem)
    params = from_torch(state, config)
    again = to_torch(params, config)
    assert set(again) == set(state)
    skipped = config.room is not None and config.room.out_size is None
    for name, value in state.items():
        assert again[name].dtype == np.float32 and again[name].flags.c_contiguous
        if skipped and name.startswith("model_pov.roomModel.trf_mean"):
            value = np.zeros_like(value)
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    back = from_torch(again, config)
    assert shapes(back) == shapes(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


@pytest.mark.parametrize("stem", STEMS)
def test_parameters_have_the_names_and_shapes_of_the_towers(stem):
    config, state = golden(stem)
    model = nnx.eval_shape(lambda: TwoTowers(config, rngs=nnx.Rngs(0)))
    expected = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    assert shapes(from_torch(state, config)) == jax.tree.map(
        lambda x: x.shape, expected
    )


def test_recurrent_weights_are_transposed_and_stacked_by_direction():
    config, state = golden("rnn_rnn_lstm")
    params = from_torch(state, config)
    museum = params["scene"]["museum"]
    for direction, suffix in enumerate(["l0", "l0_reverse"]):
        weight = state[f"model_pov.lstm.weight_ih_{suffix}"]
        for i in range(weight.shape[0]):
            np.testing.assert_array_equal(
                museum["kernel_ih"][direction, :, i], weight[i]
            )
        bias = state[f"model_pov.lstm.bias_hh_{suffix}"]
        np.testing.assert_array_equal(museum["bias_hh"][direction], bias)
    assert params["text"]["kernel_hh"].shape == (2, 12, 48)


def test_convolution_weights_turn_round():
    config, state = golden("rnn_cnn1d_image_video")
    museum = from_torch(state, config)["scene"]["museum"]
    for kind, name in {
        "views": "conv",
        "images": "imageConv",
        "videos": "videoConv",
    }.items():
        weight = state[f"model_pov.{name}.weight"]
        for out, row in enumerate(weight):
            for channel, taps in enumerate(row):
                np.testing.assert_array_equal(
                    museum[kind]["kernel"][:, channel, out], taps
                )
    np.testing.assert_array_equal(
        museum["out"]["kernel"], state["model_pov.fc.weight"].transpose()
    )


def test_one_direction():
    value = json.loads((GOLDEN / "rnn_rnn.json").read_text())
    value["ee_args"]["scene_model_is_bidirectional"] = False
    config = hm3_strategy(parse_strategy(value))
    _, state = golden("rnn_rnn")
    state = {
        name: array
        for name, array in state.items()
        if "_pov.gru" not in name or "desc" in name or not name.endswith("_reverse")
    }
    params = from_torch(state, config)
    assert params["scene"]["museum"]["kernel_ih"].shape == (1, 24, 36)
    again = to_torch(params, config)
    assert set(again) == set(state)
    for name, array in state.items():
        np.testing.assert_array_equal(again[name], array)


def test_the_layer_the_release_never_uses_may_be_absent():
    config, state = golden("hier_by_room_rnn_2_meanPoolProc_video")
    unused = [name for name in state if name.startswith("model_pov.roomModel.trf_mean")]
    assert len(unused) == 2
    params = from_torch({k: v for k, v in state.items() if k not in unused}, config)
    assert "out" not in params["scene"]["room"]
    assert to_torch(params, config)[unused[0]].shape == (10, 20)


def test_float16_becomes_float32():
    config, state = golden("rnn_meanPoolProc")
    half = {name: array.astype(np.float16) for name, array in state.items()}
    params = from_torch(half, config)
    kernel = params["scene"]["museum"]["views"]["kernel"]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel.T, half["model_pov.trf_photo.weight"])


def test_results_do_not_share_memory_with_their_input():
    config, state = golden("rnn_meanPoolProc")
    params = from_torch(state, config)
    params["scene"]["museum"]["views"]["bias"][:] = 7
    assert not (state["model_pov.trf_photo.bias"] == 7).any()


def test_every_wrong_tensor_is_named():
    config, state = golden("rnn_cnn1d_video")
    del state["model_desc_pov.gru.bias_hh_l0"]
    state["model_pov.imageConv.weight"] = np.zeros((14, 24, 3), np.float32)
    state["model_pov.conv.weight"] = np.zeros((14, 3, 24), np.float32)
    state["model_pov.fc.bias"] = np.zeros(12, np.int64)
    message = refusal(from_torch, state, config)
    assert "model_desc_pov.gru.bias_hh_l0 is missing, expected (36,)" in message
    assert "model_pov.imageConv.weight is unexpected, found (14, 24, 3)" in message
    assert "conv.weight expected (14, 24, 3), found (14, 3, 24)" in message
    assert "model_pov.fc.bias expected float32, found int64" in message


def test_every_wrong_parameter_is_named():
    config, state = golden("hier_by_room_rnn_meanPoolProc_video")
    params = from_torch(state, config)
    del params["text"]["bias_ih"]
    params["scene"]["room"]["images"] = params["scene"]["room"].pop("videos")
    params["scene"]["museum"]["kernel_hh"] = np.zeros((1, 12, 36), np.float32)
    message = refusal(to_torch, params, config)
    assert "text.bias_ih is missing, expected (2, 36)" in message
    assert "scene.room.videos.kernel is missing, expected (24, 10)" in message
    assert "scene.room.images.kernel is unexpected, found (24, 10)" in message
    assert "scene.museum.kernel_hh expected (2, 12, 36), found (1, 12, 36)" in message


def test_a_state_of_another_strategy_is_refused():
    config, _ = golden("rnn_meanPoolProc_lstm")
    _, state = golden("rnn_meanPoolProc")
    message = refusal(from_torch, state, config)
    assert "model_desc_pov.lstm.weight_ih_l0 is missing, expected (48, 24)" in message
    assert "model_desc_pov.gru.weight_ih_l0 is unexpected, found (36, 24)" in message
