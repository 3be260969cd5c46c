"""Which epoch is best, and when a try ends."""

from collections.abc import Sequence

import pytest

from hm3_jax.learn.settings import TrainSettings
from hm3_jax.learn.training.stopping import TryProgress


def after(
    settings: TrainSettings,
    losses: Sequence[float],
    scores: Sequence[float] = (),
    metric: str = "t2s_R@1",
) -> TryProgress:
    """TryProgress after epochs of these val losses and scores."""
    progress = TryProgress()
    for epoch, loss in enumerate(losses):
        score = scores[epoch] if scores else 0.0
        progress = progress.after_epoch(settings, {metric: score}, loss)
    return progress


@pytest.mark.parametrize(
    ("best_strategy", "metric", "scores", "best"),
    [
        ("t2s-r1", "t2s_R@1", [10.0, 30.0, 20.0], 2),
        ("t2s-r1", "t2s_R@1", [10.0, 30.0, 30.0], 2),  # the first of equals
        ("s2t_c_mAP", "s2t_mAP_by_class", [10.0, 20.0, 30.0], 3),
        ("t2s-medr", "t2s_median_rank", [10.0, 3.0, 4.0], 2),  # ranks: lower is better
        ("s2t-meanr", "s2t_mean_rank", [3.0, 3.5, 10.0], 1),
        ("t2s-r1", "t2s_R@1", [0.0, 0.0], 1),
    ],
)
def test_best_epoch(best_strategy, metric, scores, best):
    settings = TrainSettings(save_strategy="best", best_strategy=best_strategy)
    progress = after(settings, [1.0] * len(scores), scores, metric)
    assert progress.best_epoch == best
    assert abs(progress.best_score or 0.0) == scores[best - 1]


def test_without_best_strategy_no_epoch_is_best():
    progress = after(TrainSettings(), [3.0, 2.0, 1.0])
    assert progress == TryProgress(epoch=3, lowest_loss=1.0)


def test_without_patience_a_try_goes_on():
    assert not after(TrainSettings(), [1.0] * 50).ended


@pytest.mark.parametrize(
    ("losses", "epoch", "ended"),
    [
        ([5.0, 4.0, 4.0], 3, False),
        ([5.0, 4.0, 4.0, 4.1], 4, True),
        ([5.0, 4.0, 4.5, 3.9, 4.0], 5, False),
        ([5.0, 4.0, 4.5, 3.9, 4.0, 3.9], 6, True),
    ],
)
def test_patience_counts_epochs_without_a_lower_loss(losses, epoch, ended):
    progress = after(TrainSettings(loss_patience=2), losses)
    assert (progress.epoch, progress.ended) == (epoch, ended)


@pytest.mark.parametrize(
    ("losses", "ended"),
    [
        ([5.0, 4.75, 4.5], True),  # lower, but not by more than half
        ([5.0, 4.75, 4.25], False),  # than the lowest that counted, not than the last
    ],
)
def test_delta_is_how_much_lower_counts(losses, ended):
    settings = TrainSettings(loss_patience=2, loss_delta=0.5)
    assert after(settings, losses).ended == ended


def test_an_ended_try_stays_as_it_is():
    settings = TrainSettings(
        loss_patience=1, save_strategy="best", best_strategy="t2s-r1"
    )
    ended = after(settings, [1.0, 2.0], [50.0, 40.0])
    assert ended.ended
    assert ended.after_epoch(settings, {"t2s_R@1": 100.0}, 0.0) == ended


def test_progress_of_another_form_is_named():
    assert TryProgress.read({"epoch": 3, "ended": True}, "f") == TryProgress(
        3, ended=True
    )
    for values in ({"epochs": 3}, None):
        with pytest.raises(ValueError, match="^f: expected the progress of a try, fou"):
            TryProgress.read(values, "f")
