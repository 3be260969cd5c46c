r"""Writes strategy files for chosen towers, inputs, cells and sizes.

Choose at least one tower (--b_... are flat, --h_... by room), one set of inputs
(--no_image_video, --with_video, --with_image_video) and one cell (--gru, --lstm): every
combination that exists is written. The flags are those of HM3's create_config_files.py.

  python -m hm3_jax.make_configs --out_dir=configs/mine --h_rnn --h_rnn_is_bidir \
    --with_video --gru --desc_rnn_is_bidir --feature_size=512 \
    --h_inter_feature_size=256 --output_feature_size=256
"""

from absl import flags

from hm3_jax.cli import frame, path_flags
from hm3_jax.nn import strategy_files

_OUT_DIR = path_flags.define_path(
    "out_dir",
    None,
    "Folder to write NAME.json and NAME_lstm.json to; made if absent.",
    required=True,
)
_OVERWRITE = flags.DEFINE_bool(
    "overwrite", False, "Replace files that hold another strategy."
)
_SWITCHES = [
    flags.DEFINE_bool(name, False, help)
    for name, help in {
        "b_mean_pool": "Flat tower: mean pool over all items.",
        "b_cnn1d": "Flat tower: 1-D CNN over all items.",
        "b_rnn": "Flat tower: GRU or LSTM over all views.",
        "h_cnn1d": "By-room tower: 1-D CNN over rooms.",
        "h_rnn": "By-room tower: GRU or LSTM over rooms (HM3 when bidirectional).",
        "h_mean_pool_hierart": "By-room tower: mean pool over rooms (HierArt).",
        "no_image_video": "Towers that read views.",
        "with_video": "Towers that read views and videos.",
        "with_image_video": "Towers that read views, images and videos.",
        "gru": "GRU for the text tower and every recurrent scene tower.",
        "lstm": "LSTM for both; with --gru too, both variants are written.",
        "desc_rnn_is_bidir": "Read sentences in both directions.",
        "scene_rnn_is_bidir": "Read the flat sequence of views in both directions.",
        "h_rnn_is_bidir": "Read the sequence of rooms in both directions.",
    }.items()
]
_SIZES = [
    flags.DEFINE_integer(name, None, help)
    for name, help in {
        "feature_size": "Size of every input feature without its own flag.",
        "desc_feature_size": "Size of a sentence's feature.",
        "scene_feature_size": "Size of a view's feature.",
        "scene_image_art_feature_size": "Size of an image's feature.",
        "scene_video_art_feature_size": "Size of a video's feature.",
        "output_feature_size": "Size of an embedding.",
        "h_inter_feature_size": "Size of a room's vector in by-room towers.",
        "cnn1d_inter_size": "Channels of 1-D CNNs.",
        "kernel_size": "Steps under the kernel of 1-D CNNs; odd.",
    }.items()
]


def main() -> None:
    """Composes the chosen strategies, writes them and prints the files' paths."""
    choices = strategy_files.Choices(
        chosen=frozenset(flag.name for flag in _SWITCHES if flag.value),
        sizes={flag.name: flag.value for flag in _SIZES if flag.value is not None},
    )
    configs = strategy_files.compose_strategies(choices)
    for path in strategy_files.write_strategies(
        _OUT_DIR.value, configs, overwrite=_OVERWRITE.value
    ):
        print(path)


if __name__ == "__main__":
    frame.run(main)
