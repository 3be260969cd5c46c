"""What messages tell people to install."""

import re
import tomllib
from pathlib import Path

from hm3_jax.files import extras


def test_a_checkout_has_its_own_script(repository):
    assert extras.how_to_install("hub") == "bash launch/setup.sh core hub"
    assert (repository / "launch/setup.sh").is_file()


def test_an_installed_package_adds_to_itself(tmp_path, monkeypatch):
    elsewhere = tmp_path / "site-packages/hm3_jax/files/extras.py"
    monkeypatch.setattr(extras, "__file__", str(elsewhere))
    assert extras.how_to_install("hub") == "pip install 'hm3_jax[hub]'"


def test_only_extras_that_there_are_are_named(repository: Path):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    named = {
        extra
        for path in (repository / "hm3_jax").rglob("*.py")
        for extra in re.findall(r"how_to_install\(['\"](\w+)", path.read_text())
    }
    assert len(named) > 5
    assert named <= set(project["optional-dependencies"])
    for path in (repository / "hm3_jax").rglob("*.py"):
        if path.name != "extras.py":
            assert "hm3_jax[" not in path.read_text(), path
