#!/usr/bin/env bash
# Trains what docs/results.md compares with the published code on real data.
#
#   bash launch/residences_results.sh STORE WORKDIR
#
# STORE holds the residences features; WORKDIR gets the experiments STL and theme.
set -euo pipefail
store="$1" workdir="$2"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"

run() {
  "$python" -m hm3_jax.train --features="$store" --workdir="$workdir" \
    --batch_size=64 --epochs=25 --lr=0.0005 --scheduler_step_size=5 \
    --scheduler_gamma=0.75 --number_of_tries=3 --save_strategy=last \
    --seed=424242 --loss_margin=0.25 "$@"
}
strategies=configs/strategies/pov_and_video
run --experiment_name=STL --config_files_dir="$strategies"
run --experiment_name=theme --use_categories_in_loss \
  --loss_within_category_margin=0.15 --second_loss_component_weight=0.05 \
  --config_files="$strategies/hier_by_room_rnn_meanPoolProc_video.json,$strategies/rnn_meanPoolProc_video.json"
