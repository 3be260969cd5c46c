"""docs/extending.md: its changes fit the code, and its commands run with them."""

import csv
import json
import shutil
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from tests.commands import code_blocks, output_of_script

RUN = "rnn_meanPoolProc_video"
PUBLISHED_TABLES = {"hierart_comparison", "stl_vs_theme", "video", "margins", "weights"}


def blocks(repository: Path, language: str) -> list[str]:
    return code_blocks(repository / "docs" / "extending.md", language)


@pytest.fixture(scope="module")
def loss(repository):
    (code,) = blocks(repository, "python")
    module = types.ModuleType("sigmoid")
    # dataclasses look up the module of a class.
    sys.modules["sigmoid"] = module
    exec(compile(code, "sigmoid.py", "exec"), module.__dict__)
    yield module.SigmoidLoss()
    del sys.modules["sigmoid"]


@pytest.fixture
def changed(repository, tmp_path) -> Path:
    """A copy of the package with the page's changes."""
    shutil.copytree(
        repository / "hm3_jax",
        tmp_path / "hm3_jax",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (tmp_path / "configs").symlink_to(repository / "configs")
    (code,) = blocks(repository, "python")
    (tmp_path / "hm3_jax" / "objective" / "sigmoid.py").write_text(code)
    diffs = blocks(repository, "diff")
    assert len(diffs) == 2
    for diff in diffs:
        head, *hunks = diff.split("@@\n")
        path = tmp_path / head.removeprefix("--- ").strip()
        text = path.read_text()
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            before, after = (
                "".join(line[1:] for line in lines if line[0] in signs)
                for signs in (" -", " +")
            )
            assert text.count(before) == 1, f"{path.name} has no single\n{before}"
            text = text.replace(before, after)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize("padding", [0.0, np.nan])
def test_the_loss_is_the_mean_cross_entropy_of_pairs(loss, padding):
    rng = np.random.default_rng(0)
    scores = rng.uniform(-1, 1, (5, 5)).astype(np.float32)
    valid = np.array([True, True, False, True, True])
    scores[~(valid[:, None] & valid[None, :])] = padding
    params = {"log_scale": jnp.float32(0.7), "bias": jnp.float32(-0.3)}

    def value(scores, params):
        themes = jnp.zeros(5, jnp.int32)
        return loss(scores, themes, jnp.asarray(valid), None, None, params)

    found, (slope, slopes) = jax.value_and_grad(value, argnums=(0, 1))(
        jnp.asarray(scores), params
    )
    inside = scores[np.ix_(valid, valid)].astype(np.float64)
    match = np.eye(4, dtype=bool)
    right = expit(np.where(match, 1, -1) * (np.exp(0.7) * inside - 0.3))
    np.testing.assert_allclose(found, -np.log(right).sum() / 4, rtol=1e-5)
    # The derivative of -log(expit(z)) by z is expit(z) - 1.
    by_logit = np.where(match, 1, -1) * (right - 1) / 4
    np.testing.assert_allclose(
        np.asarray(slope)[np.ix_(valid, valid)], np.exp(0.7) * by_logit, rtol=1e-4
    )
    np.testing.assert_allclose(slopes["bias"], by_logit.sum(), rtol=1e-4)
    assert np.isfinite(np.asarray(slope)).all()


def test_the_changes_fit_the_code(changed):
    settings = (changed / "hm3_jax" / "learn" / "settings.py").read_text()
    assert "return SigmoidLoss()" in settings


@pytest.mark.thorough
def test_the_commands_compare_the_loss_under_its_own_name(repository, changed):
    shown = output_of_script(blocks(repository, "bash"), changed, changed)
    run = changed / "runs" / "sigmoid" / RUN
    settings = json.loads((run.parent / "experiment.json").read_text())["settings"]
    assert settings["loss"] == "sigmoid"
    epochs = (run / "try_1" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train_loss"] for line in epochs]
    assert len(losses) == 3 and losses[2] < losses[0]
    # In no published table, and beside InfoNCE in that of all runs.
    tables = changed / "report" / "tables"
    assert {path.stem for path in tables.glob("*.csv")} & PUBLISHED_TABLES == set()
    rows = csv.reader((tables / "runs.csv").read_text().splitlines())
    named = [" ".join(row) for row in rows]
    for name in ("sigmoid", "info_nce"):
        assert sum(f"{name} {RUN} loss {name}" in row for row in named) == 1
    assert f"A: sigmoid/{RUN}, B: info_nce/{RUN}" in shown
    assert "\nt2s R@20," in (tables / "comparison.csv").read_text()
    # The metric, by ranks of the embeddings that were tested.
    with np.load(run / "test_output.npz") as tested:
        texts, museums = (
            x / np.linalg.norm(x, axis=1, keepdims=True)
            for x in (tested["try_1_descriptions"], tested["try_1_museums"])
        )
    cosines = texts @ museums.T
    ranks = (cosines >= np.diag(cosines)[:, None]).sum(axis=1)
    found = json.loads((run / "try_1" / "test_metrics.json").read_text())["metrics"]
    assert found["t2s_R@20"] == pytest.approx(100 * np.mean(ranks <= 20))
