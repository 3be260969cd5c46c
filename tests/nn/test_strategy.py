import copy
import dataclasses
import json
from pathlib import Path

import pytest

from hm3_jax.nn import strategy, strategy_json
from hm3_jax.nn.strategy import ConvConfig, PoolConfig, RecurrentConfig, TowersConfig

GOLDEN = Path(__file__).parents[1] / "golden"
NOT_STRATEGIES = {"loss", "metrics"}
FILES = sorted(p for p in GOLDEN.glob("*.json") if p.stem not in NOT_STRATEGIES)


def golden(stem):
    return json.loads((GOLDEN / f"{stem}.json").read_text())


def refusal(value, *words):
    """Asserts that `value` is refused in one line with all `words`."""
    with pytest.raises(ValueError) as info:
        strategy_json.parse_strategy(value, "some/file.json")
    message = str(info.value)
    assert message.startswith("some/file.json: ")
    assert "\n" not in message
    for word in words:
        assert str(word) in message, message


def changed(stem, **args):
    """The golden strategy with changed `ee_args` (dict: changes below; None: drops)."""
    value = golden(stem)
    for key, new in args.items():
        target = value["ee_args"]
        if isinstance(new, dict):
            target = target[key]
        for k, v in new.items() if isinstance(new, dict) else [(key, new)]:
            target[k] = v
            if v is None:
                del target[k]
    return value


def test_all_published_strategies_are_covered():
    assert len(FILES) == 29
    assert len(strategy.STRATEGY_NAMES) == len(set(strategy.STRATEGY_NAMES)) == 16
    names = {golden(path.stem)["strategy_name"] for path in FILES}
    assert names == set(strategy.STRATEGY_NAMES)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_golden_strategy_round_trips(path):
    config = strategy_json.load_strategy(path)
    assert strategy_json.to_json(config) == json.loads(path.read_text())
    assert config.file_stem == path.stem
    assert config.embedding_size == 12
    text = strategy_json.strategy_text(config)
    assert strategy_json.parse_strategy(json.loads(text)) == config


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_properties_follow_the_name(path):
    config = strategy.hm3_strategy(strategy_json.load_strategy(path))
    assert config.flat == (not path.stem.startswith("hier"))
    assert ("images" in config.uses) == ("_image_video" in path.stem)
    assert ("videos" in config.uses) == ("_video" in path.stem)
    assert config.uses[0] == "views"
    assert (config.text.cell == "lstm") == path.stem.endswith("_lstm")


def test_by_room_cnn_has_the_parts_of_its_file():
    config = strategy_json.load_strategy(
        GOLDEN / "hier_by_room_rnn_meanPoolProc_cnn1d_image_video_lstm.json"
    )
    assert config == TowersConfig(
        name="hier_by_room_rnn_meanPoolProc_cnn1d_image_video",
        text=RecurrentConfig(
            cell="lstm", in_size=24, hidden_size=12, bidirectional=True
        ),
        room=PoolConfig(
            kinds={"views": 24, "images": 24, "videos": 24}, size=10, out_size=10
        ),
        museum=ConvConfig(kinds={"views": 10}, channels=14, kernel_size=3, out_size=12),
    )


def test_skipped_last_layer_makes_room_vectors_as_wide_as_the_kinds():
    path = GOLDEN / "hier_by_room_rnn_2_meanPoolProc_image_video.json"
    config = strategy.hm3_strategy(strategy_json.load_strategy(path))
    assert config.room is not None and config.room.out_size is None
    assert config.room.vector_size == 30
    assert strategy.input_kinds(config.museum) == {"views": 30}


def test_kinds_are_put_in_the_order_of_the_towers():
    pool = PoolConfig(kinds={"videos": 3, "views": 1, "images": 2}, size=4, out_size=4)
    assert list(pool.kinds) == ["views", "images", "videos"]


def test_configurations_are_hashable_and_frozen():
    path = GOLDEN / "rnn_cnn1d_video.json"
    first, second = strategy_json.load_strategy(path), strategy_json.load_strategy(path)
    assert len({first, second}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.name = "rnn_rnn"  # pyright: ignore[reportAttributeAccessIssue]


def test_ignored_keys_of_published_files():
    value = golden("rnn_rnn")
    value |= {"transformers_version": "4.46.3", "uses_audio_video_features": None}
    assert strategy_json.to_json(strategy_json.parse_strategy(value)) == golden(
        "rnn_rnn"
    )


def test_audio_video_features_are_refused():
    value = golden("rnn_rnn") | {"uses_audio_video_features": True}
    refusal(value, "uses_audio_video_features")


def test_unknown_name_lists_the_nearest():
    value = golden("rnn_rnn") | {"strategy_name": "rnn_rnn_video"}
    refusal(value, "'rnn_rnn_video'", "nearest", "rnn_rnn", "rnn_cnn1d_video")
    refusal(value | {"strategy_name": ["rnn"]}, "must be a string")


def test_flatness_must_agree_with_the_name():
    value = golden("rnn_rnn") | {"uses_flattened_hierarchy": False}
    refusal(value, "uses_flattened_hierarchy is false", "rnn_rnn", "flat")
    value = golden("hier_by_room_rnn_meanPoolProc") | {"uses_flattened_hierarchy": True}
    refusal(value, "uses_flattened_hierarchy is true", "by room")


@pytest.mark.parametrize(
    "value, words",
    [
        (
            changed("rnn_cnn1d_video", video_art_in_channels=None),
            ["rnn_cnn1d_video", "ee_args.video_art_in_channels is missing"],
        ),
        (
            changed("rnn_cnn1d", video_art_in_channels=24),
            ["rnn_cnn1d ", "ee_args.video_art_in_channels is given"],
        ),
        (
            changed("rnn_rnn", image_art_in_channels=24),
            ["rnn_rnn ", "ee_args.image_art_in_channels is given"],
        ),
        (
            changed(
                "hier_by_room_rnn_meanPoolProc_image_video",
                roomModelArgs={"image_art_in_channels": None},
            ),
            ["roomModelArgs.image_art_in_channels is missing", "views, images, videos"],
        ),
        (
            changed(
                "hier_by_room_rnn_2_meanPoolProc_video",
                scenesSequenceModelArgs={"scene_in_channels": 10},
            ),
            ["yields 20", "takes views of 10"],
        ),
        (
            changed(
                "hier_by_room_rnn_meanPoolProc", roomModelArgs={"out_channels": 11}
            ),
            ["yields 11", "takes views of 10"],
        ),
        (changed("rnn_meanPoolProc", scene_output_channels=13), ["into 12", "into 13"]),
        (changed("rnn_rnn", desc_output_feature_size=14), ["into 14", "into 12"]),
        (changed("rnn_cnn1d", kernel_size=4), ["kernel_size must be odd", "4"]),
        (changed("rnn_rnn", kernel_size=3), ["unknown keys kernel_size", "useLSTM"]),
        (changed("rnn_rnn", desc_input_feature_size=0), ["desc_input_feature_size", 0]),
        (changed("rnn_rnn", scene_input_channel=-2), ["scene_input_channel", -2]),
        (changed("rnn_rnn", scene_input_channel=2.0), ["scene_input_channel", "2.0"]),
        (changed("rnn_rnn", scene_input_channel=True), ["scene_input_channel", "True"]),
        (changed("rnn_rnn", useLSTM=1), ["ee_args.useLSTM", "true or false", 1]),
        (changed("rnn_rnn", useLSTM=None), ["ee_args lacks useLSTM"]),
        (
            changed("hier_by_room_rnn_2_meanPoolProc", useLSTM=True),
            ["hier_by_room_rnn_2_meanPoolProc", "gru only", "lstm"],
        ),
        (golden("rnn_rnn") | {"ee_args": []}, ["ee_args must be an object"]),
        (golden("rnn_rnn") | {"desc": 1}, ["unknown keys desc", "strategy_name"]),
        ([], ["strategy must be an object"]),
    ],
)
def test_contradictions_are_refused(value, words):
    refusal(value, *words)


def test_a_flat_name_with_by_room_sizes_is_refused():
    value = golden("hier_by_room_rnn_meanPoolProc")
    value |= {"strategy_name": "rnn_rnn", "uses_flattened_hierarchy": True}
    refusal(value, "ee_args lacks scene_input_channel")


def test_parsing_leaves_its_input_alone():
    value = golden("hier_by_room_rnn_meanPoolProc")
    before = copy.deepcopy(value)
    strategy_json.parse_strategy(value)
    assert value == before


def test_file_errors_name_the_file(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text('{"strategy_name": ')
    with pytest.raises(ValueError, match=r"broken\.json: expected JSON"):
        strategy_json.load_strategy(path)
    with pytest.raises(FileNotFoundError, match=r"absent\.json"):
        strategy_json.load_strategy(tmp_path / "absent.json")


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda c: {"room": None}, "room model is missing"),
        (
            lambda c: {
                "text": dataclasses.replace(c.text, cell="lstm"),
            },
            "text has lstm, museum has gru",
        ),
        (
            lambda c: {"museum": PoolConfig(kinds={"views": 10}, size=12, out_size=12)},
            "recurrent museum model, found PoolConfig",
        ),
    ],
)
def test_parts_built_in_code_are_checked_too(build, words):
    path = GOLDEN / "hier_by_room_rnn_meanPoolProc.json"
    config = strategy.hm3_strategy(strategy_json.load_strategy(path))
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(config, **build(config))


def test_parts_check_their_own_sizes():
    with pytest.raises(ValueError, match="cell must be gru or lstm, found 'rnn'"):
        RecurrentConfig(
            cell="rnn",  # pyright: ignore[reportArgumentType]
            in_size=1,
            hidden_size=1,
            bidirectional=False,
        )
    with pytest.raises(ValueError, match="size 4 or None, found 5"):
        PoolConfig(kinds={"views": 3}, size=4, out_size=5)
    with pytest.raises(ValueError, match="input kinds must be views"):
        PoolConfig(kinds={"videos": 3}, size=4, out_size=4)
    with pytest.raises(ValueError, match="input kinds must be views"):
        PoolConfig(kinds={"views": 3, "sounds": 3}, size=4, out_size=4)
    path = GOLDEN / "rnn_meanPoolProc.json"
    flat = strategy.hm3_strategy(strategy_json.load_strategy(path))
    with pytest.raises(ValueError, match="flat mean pool ends with a linear layer"):
        pool = PoolConfig(kinds={"views": 24}, size=12, out_size=None)
        dataclasses.replace(flat, museum=pool)
