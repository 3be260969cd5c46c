"""The benchmark of search, on an index that takes no time."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.search import compare, make_index
from hm3_jax.retrieval.index import open_index
from hm3_jax.retrieval.museums import of_one_vector

pytest.importorskip("faiss", reason="needs faiss-cpu, of the extra test")


def test_both_find_the_same_museums(tmp_path):
    make_index(tmp_path / "index", 3000, 32)
    museums = open_index(tmp_path / "index").museums
    result = compare(of_one_vector(museums, "index"), rounds=2, cores=1)
    for case in ("single", "batch"):
        assert result[case]["same_museums"] == 1
        assert result[case]["ratio"] <= result[case]["largest_ratio"]
    lengths = np.linalg.norm(museums.columns["vectors"], axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)


def test_it_runs_as_the_docs_have_it(repository):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.search", "--museums=500", "--rounds=1"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone, compared = map(json.loads, done.stdout.splitlines())
    assert alone["open_seconds"] < 1
    assert compared["batch"]["same_museums"] == 1
