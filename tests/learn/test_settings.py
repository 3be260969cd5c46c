"""Settings of a training run: ranges, contradictions, schedules."""

import json
import math

import pytest

from hm3_jax.learn.settings import BEST_STRATEGIES, TrainSettings
from hm3_jax.objective.triplet import TripletLoss, TripletWeights

THEMES = {"use_categories_in_loss": True}
SECOND = {**THEMES, "loss_within_category_margin": 0.1}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"save_strategy": "best"}, ("save_strategy", "best_strategy")),
        ({"best_strategy": "t2s-r1"}, ("save_strategy", "best_strategy")),
        ({"loss_delta": 0.1}, ("loss_delta", "loss_patience")),
        (
            {"loss_within_category_margin": 0.1},
            ("loss_within_category_margin", "use_categories_in_loss"),
        ),
        (
            {"new_positive_samples": 2},
            ("new_positive_samples", "use_categories_in_loss"),
        ),
        (
            {**SECOND, "new_positive_samples": 2},
            ("new_positive_samples", "loss_within_category_margin"),
        ),
        (
            {**THEMES, "allow_sampling_replacement_of_new_positives": True},
            ("allow_sampling_replacement_of_new_positives", "new_positive_samples"),
        ),
        (
            {**THEMES, "second_loss_component_weight": 0.5},
            (
                "second_loss_component_weight",
                "loss_within_category_margin",
                "new_positive_samples",
            ),
        ),
        (
            {**THEMES, "second_loss_component_weight_decay_factor": 0.5},
            (
                "second_loss_component_weight_decay_factor",
                "loss_within_category_margin",
                "new_positive_samples",
            ),
        ),
    ],
)
def test_a_contradiction_names_both_sides(settings, named):
    with pytest.raises(ValueError) as raised:
        TrainSettings(**settings)
    assert "\n" not in str(raised.value)
    for name in named:
        assert name in str(raised.value).replace(",", " ").split()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("seed", -1, "at least 0"),
        ("seed", 2**32, f"at most {2**32 - 1}"),
        ("batch_size", 0, "at least 1"),
        ("epochs", 0, "at least 1"),
        ("number_of_tries", 0, "at least 1"),
        ("scheduler_step_size", 0, "at least 1"),
        ("lr", 0.0, "more than 0"),
        ("lr", math.nan, "more than 0"),
        ("lr", math.inf, "a finite number"),
        ("scheduler_gamma", 0.0, "more than 0"),
        ("partial_descriptions", -0.1, "at least 0"),
        ("partial_descriptions", 1.1, "at most 1"),
        ("loss_patience", 0, "at least 1"),
        ("loss_delta", -0.1, "at least 0"),
        ("loss_margin", -0.1, "0 or more"),
        ("loss_margin", math.nan, "0 or more"),
        ("loss_within_category_margin", -0.1, "0 or more"),
        ("second_loss_component_weight", 1.1, "between 0 and 1"),
        ("second_loss_component_weight_decay_factor", -0.5, "at least 0"),
        ("new_positive_samples", 0, "at least 1"),
        ("save_strategy", "first", "one of last, best"),
        ("cnn1d_masking", "none", "one of time, channels"),
        ("matmul_precision", "tf32", "one of default, high, highest"),
    ],
)
def test_a_value_out_of_range_is_named(name, value, wanted):
    others = {
        "loss_delta": {"loss_patience": 3},
        "loss_within_category_margin": THEMES,
        "second_loss_component_weight": SECOND,
        "second_loss_component_weight_decay_factor": SECOND,
        "new_positive_samples": THEMES,
    }
    with pytest.raises(ValueError, match=f"{name}: expected {wanted}, found {value}$"):
        TrainSettings(**{**others.get(name, {}), name: value})


def test_an_unknown_best_strategy_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="best_strategy: .*t2s-r1, .*, found t2s-r2"):
        TrainSettings(save_strategy="best", best_strategy="t2s-r2")


def test_published_best_strategies_stand_for_published_metrics(golden):
    published = set(json.loads((golden / "metrics.json").read_text()))
    assert set(BEST_STRATEGIES.values()) <= published
    # Two names for one metric would leave another metric without a name.
    assert len(set(BEST_STRATEGIES.values())) == len(BEST_STRATEGIES)
    for direction in ("t2s", "s2t"):
        names = "-r1 -r5 -r10 -medr -meanr _c_r1 _c_r5 _c_r10 _c_p1 _c_p5 _c_p10"
        names += " _ndcg _c_ndcg _mAP _c_mAP"
        for name in names.split():
            assert BEST_STRATEGIES[direction + name].startswith(direction)
    assert len(BEST_STRATEGIES) == 30


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("t2s-r5", "t2s_R@5"),
        ("s2t-medr", "s2t_median_rank"),
        ("t2s-meanr", "t2s_mean_rank"),
        ("s2t_c_r1", "s2t_class_R@1"),
        ("t2s_c_p10", "t2s_class_P@10"),
        ("t2s_ndcg", "t2s_avg_ndcg"),
        ("s2t_c_ndcg", "s2t_avg_ndcg_by_class"),
        ("t2s_mAP", "t2s_mAP"),
        ("t2s_c_mAP", "t2s_mAP_by_class"),
    ],
)
def test_best_strategies_by_hand(name, metric):
    assert BEST_STRATEGIES[name] == metric


def test_learning_rates():
    settings = TrainSettings(lr=0.8, scheduler_step_size=3, scheduler_gamma=0.5)
    rates = [settings.learning_rate(epoch) for epoch in range(8)]
    assert rates == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2]


def test_published_defaults():
    settings = TrainSettings()
    assert settings.learning_rate(26) == 1e-3
    assert settings.learning_rate(27) == 0.75e-3
    assert settings.loss_function == TripletLoss()
    assert settings.loss_weights(0).margin == 0.25
    assert TrainSettings(**SECOND).loss_weights(9).second_component_weight == 0.5


@pytest.mark.parametrize(
    ("factor", "weights"),
    [
        (None, [0.4, 0.4, 0.4, 0.4]),
        (0.5, [0.4, 0.2, 0.1, 0.05]),
        (2.0, [0.4, 0.8, 1.0, 1.0]),
        (0.0, [0.4, 0.0, 0.0, 0.0]),
    ],
)
def test_the_second_weight_decays_and_never_exceeds_one(factor, weights):
    settings = TrainSettings(
        **SECOND,
        second_loss_component_weight=0.4,
        second_loss_component_weight_decay_factor=factor,
    )
    assert [
        settings.loss_weights(epoch).second_component_weight for epoch in range(4)
    ] == pytest.approx(weights)


def test_the_loss_is_that_of_the_flags():
    settings = TrainSettings(
        use_categories_in_loss=True,
        new_positive_samples=3,
        allow_sampling_replacement_of_new_positives=True,
        filter_out_hard_negatives=True,
        loss_margin=0.3,
    )
    assert settings.loss_function == TripletLoss(
        uses_themes=True,
        new_positive_samples=3,
        with_replacement=True,
        filter_out_hard_negatives=True,
    )
    assert settings.loss_weights(0).margin == 0.3
    within = TrainSettings(**SECOND)
    assert within.loss_function == TripletLoss(uses_themes=True, within_theme=True)
    assert within.loss_weights(0) == TripletWeights(
        within_theme_margin=0.1, uses_themes=True, filter_out_hard_negatives=False
    )
    # Beside runs that have a second component, one that has none weighs it with 0.
    assert TrainSettings().loss_weights(3) == TripletWeights(
        second_component_weight=0.0, uses_themes=False, filter_out_hard_negatives=False
    )


@pytest.mark.parametrize(
    ("changes", "together"),
    [
        ({"lr": 1.0, "seed": 3, "epochs": 4, "loss_patience": 1}, True),
        ({"loss_margin": 0.1, "filter_out_hard_negatives": True}, True),
        (SECOND, True),
        ({"save_strategy": "best", "best_strategy": "t2s-r1"}, True),
        ({"batch_size": 32}, False),
        ({"cnn1d_masking": "channels"}, False),
        ({"matmul_precision": "default"}, False),
        ({**THEMES, "new_positive_samples": 2}, False),
    ],
)
def test_what_runs_must_have_in_common_to_share_a_program(changes, together):
    same = TrainSettings().program == TrainSettings(**changes).program
    assert same == together
