import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hm3_jax.nn import strategy_files
from hm3_jax.nn.strategy_json import load_strategy, to_json

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
PUBLISHED = ROOT / "configs" / "strategies"

# The golden strategies all have these sizes.
GOLDEN_SIZES = (
    "--feature_size=24 --output_feature_size=12 --h_inter_feature_size=10 "
    "--cnn1d_inter_size=14 --kernel_size=3"
).split()
ALL_TOWERS = (
    "--b_mean_pool --b_cnn1d --b_rnn --h_cnn1d --h_rnn --h_mean_pool_hierart "
    "--desc_rnn_is_bidir --scene_rnn_is_bidir --h_rnn_is_bidir"
).split()
ALL_KINDS = "--no_image_video --with_video --with_image_video".split()


def make_configs(*flags):
    return subprocess.run(
        [sys.executable, "-m", "hm3_jax.make_configs", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


def refused(result):
    """The one line on stderr of a call that was refused."""
    assert result.returncode == 2, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def choices(chosen, **sizes):
    return strategy_files.Choices(chosen=frozenset(chosen.split()), sizes=sizes)


def test_every_combination_is_the_golden_strategy(tmp_path):
    result = make_configs(
        f"--out_dir={tmp_path}",
        *ALL_TOWERS,
        *ALL_KINDS,
        *GOLDEN_SIZES,
        "--gru",
        "--lstm",
    )
    assert result.returncode == 0, result.stderr
    written = {path.stem: path for path in tmp_path.iterdir()}
    assert result.stdout.split() == [
        str(written[Path(p).stem]) for p in result.stdout.split()
    ]
    assert len(written) == 29
    for stem, path in written.items():
        golden = json.loads((GOLDEN / f"{stem}.json").read_text())
        assert to_json(load_strategy(path)) == golden
        raw = json.loads(path.read_text())
        assert raw == golden | {"uses_audio_video_features": None}


def test_published_files_are_what_the_published_calls_make(tmp_path):
    subprocess.run(
        ["bash", "launch/make_published_configs.sh", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable},
        check=True,
        capture_output=True,
        timeout=120,
    )
    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.json")}
    kept = {
        p.relative_to(PUBLISHED): p.read_bytes()
        for p in PUBLISHED.rglob("*.json")
        if p.parent.name != "late_interaction"  # ours
    }
    assert made == kept
    assert {
        folder: len(list((PUBLISHED / folder).iterdir()))
        for folder in ("pov_and_video", "pov_only", "hierart")
    } == {"pov_and_video": 4, "pov_only": 4, "hierart": 6}


def test_published_hm3_has_the_sizes_of_its_call():
    config = load_strategy(
        PUBLISHED / "pov_and_video" / "hier_by_room_rnn_meanPoolProc_video.json"
    )
    assert to_json(config)["ee_args"] == {
        "useLSTM": False,
        "desc_input_feature_size": 512,
        "desc_output_feature_size": 256,
        "desc_model_is_bidirectional": True,
        "roomModelArgs": {
            "scene_in_channels": 512,
            "out_channels": 256,
            "video_art_in_channels": 512,
        },
        "scenesSequenceModelArgs": {
            "num_features": 256,
            "hidden_size": 256,
            "is_bidirectional": True,
        },
    }


def test_finer_sizes_override_the_common_one():
    (config,) = strategy_files.compose_strategies(
        choices(
            "b_mean_pool with_image_video gru",
            feature_size=7,
            desc_feature_size=3,
            scene_image_art_feature_size=5,
            scene_video_art_feature_size=6,
            output_feature_size=4,
        )
    )
    assert config.text.in_size == 3
    assert not config.text.bidirectional
    assert to_json(config)["ee_args"]["scene_input_channel"] == 7
    assert to_json(config)["ee_args"]["image_art_in_channels"] == 5
    assert to_json(config)["ee_args"]["video_art_in_channels"] == 6


def test_towers_without_a_variant_are_written_with_what_they_have():
    configs = strategy_files.compose_strategies(
        choices(
            "b_rnn h_mean_pool_hierart no_image_video with_video gru lstm",
            feature_size=3,
            output_feature_size=4,
            h_inter_feature_size=5,
        )
    )
    assert [config.file_stem for config in configs] == [
        "rnn_rnn",
        "rnn_rnn_lstm",
        "hier_by_room_rnn_2_meanPoolProc",
        "hier_by_room_rnn_2_meanPoolProc_video",
    ]


@pytest.mark.parametrize(
    "chosen, sizes, words",
    [
        ("", {}, ["--b_mean_pool", "--h_rnn", "--h_mean_pool_hierart"]),
        ("h_rnn gru", {}, ["--no_image_video, --with_video, --with_image_video"]),
        ("h_rnn with_video", {}, ["--gru, --lstm"]),
        ("b_rnn with_video gru", {}, ["--b_rnn with --gru with --with_video"]),
        (
            "h_mean_pool_hierart with_video lstm",
            {},
            ["--h_mean_pool_hierart with --lstm with --with_video"],
        ),
        (
            "b_rnn h_rnn with_video gru",
            {"feature_size": 3, "output_feature_size": 4, "h_inter_feature_size": 5},
            ["--b_rnn would have no effect", "hier_by_room_rnn_meanPoolProc_video"],
        ),
        (
            "b_rnn no_image_video gru h_rnn_is_bidir",
            {"feature_size": 3, "output_feature_size": 4, "kernel_size": 3},
            ["--h_rnn_is_bidir, --kernel_size would have no effect", "rnn_rnn"],
        ),
        (
            "b_cnn1d no_image_video gru",
            {"feature_size": 3, "output_feature_size": 4, "kernel_size": 3},
            ["rnn_cnn1d needs --cnn1d_inter_size"],
        ),
        (
            "b_rnn no_image_video gru",
            {"output_feature_size": 4},
            ["rnn_rnn needs --desc_feature_size or --feature_size"],
        ),
    ],
)
def test_missing_or_idle_choices_are_refused(chosen, sizes, words):
    with pytest.raises(ValueError) as info:
        strategy_files.compose_strategies(choices(chosen, **sizes))
    for word in words:
        assert word in str(info.value)


def test_wrong_choices_exit_with_one_line(tmp_path):
    out = tmp_path / "out"
    line = refused(make_configs(f"--out_dir={out}", *GOLDEN_SIZES))
    assert "--b_cnn1d" in line
    flags = "--b_cnn1d --no_image_video --gru --kernel_size=4".split()
    line = refused(
        make_configs(
            f"--out_dir={out}", *GOLDEN_SIZES[:2], "--cnn1d_inter_size=5", *flags
        )
    )
    assert "kernel_size must be odd, found 4" in line
    assert not out.exists()


def test_other_content_is_kept_unless_overwrite(tmp_path):
    flags = [f"--out_dir={tmp_path}", "--b_mean_pool", "--b_rnn", "--no_image_video"]
    flags += ["--gru", "--feature_size=24"]
    assert make_configs(*flags, "--output_feature_size=12").returncode == 0
    assert make_configs(*flags, "--output_feature_size=12").returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "rnn_rnn.json").unlink()

    line = refused(make_configs(*flags, "--output_feature_size=13"))
    assert "rnn_meanPoolProc.json" in line and "--overwrite" in line
    assert not (tmp_path / "rnn_rnn.json").exists()
    assert (tmp_path / "rnn_meanPoolProc.json").read_bytes() in before.values()

    again = make_configs(*flags, "--output_feature_size=13", "--overwrite")
    assert again.returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "rnn_meanPoolProc.json",
        "rnn_rnn.json",
    ]
    assert load_strategy(tmp_path / "rnn_meanPoolProc.json").embedding_size == 13
