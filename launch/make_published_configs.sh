#!/usr/bin/env bash
# Writes the strategy files behind HM3's published tables: its three calls of
# `create_config_files.py`, with our `make_configs`.
#
#   bash launch/make_published_configs.sh [FOLDER [make_configs flags]]
#
# FOLDER is configs/strategies if not given. Existing files are left alone if they have
# the same content, and reported as an error otherwise (--overwrite replaces them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out="${1:-configs/strategies}"
shift || true
python="${PYTHON:-python}"
if [[ -z "${PYTHON:-}" && -x .venv/bin/python ]]; then
  python=.venv/bin/python
fi

sizes=(
  --feature_size=512 --output_feature_size=256 --h_inter_feature_size=256
  --cnn1d_inter_size=256 --kernel_size=3
)
towers=(
  --b_mean_pool --b_cnn1d --h_cnn1d --h_rnn --h_rnn_is_bidir
  --gru --desc_rnn_is_bidir
)

# genMuseums: views and videos
"$python" -m hm3_jax.make_configs --out_dir="$out/pov_and_video" \
  --with_video "${towers[@]}" "${sizes[@]}" "$@"

# genMuseums: views only
"$python" -m hm3_jax.make_configs --out_dir="$out/pov_only" \
  --no_image_video "${towers[@]}" "${sizes[@]}" "$@"

# Museums3k: the same, HierArt (two mean pools) and a flat bidirectional GRU
"$python" -m hm3_jax.make_configs --out_dir="$out/hierart" \
  --no_image_video "${towers[@]}" --b_rnn --scene_rnn_is_bidir \
  --h_mean_pool_hierart "${sizes[@]}" "$@"
