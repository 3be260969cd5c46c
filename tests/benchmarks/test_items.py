"""The benchmark of search over items, on an index that takes no time."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("faiss", reason="needs faiss-cpu, of the extra test")


def test_it_runs_as_the_docs_have_it(repository):
    small = ["--museums=300", "--rounds=1", "--others=20", "--size=32"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.items", *small],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone, compared, others = map(json.loads, done.stdout.splitlines())
    assert alone["memory_bytes"] > 0
    assert compared["museums"] == 300 and compared["as_the_oracle"]
    assert compared["ratio"] <= compared["largest_ratio"]
    assert set(others) == {
        *("case", "museums", "ours", "qdrant", "maxsim_cpu", "fast_plaid")
    }
    assert others["ours"]["of_the_maximum"] >= 0.5
    for name in ("qdrant", "maxsim_cpu"):
        if isinstance(others[name], dict):
            assert others[name]["of_the_maximum"] == 1
