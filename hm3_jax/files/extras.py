"""How what is optional is installed, in one line for messages."""

from pathlib import Path


def how_to_install(extra: str) -> str:
    """The command that installs what an extra of pyproject.toml names.

    Args:
        extra: Such as "hub".

    Returns:
        The repository's own script where the package is used from there, as it is on
        no package index; else what adds to an installed wheel.
    """
    if (Path(__file__).resolve().parents[2] / "launch" / "setup.sh").is_file():
        return f"bash launch/setup.sh core {extra}"
    return f"pip install 'hm3_jax[{extra}]'"
