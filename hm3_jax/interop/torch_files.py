"""Reads torch files that need not be trusted, as numpy arrays; no code runs.

Neither torch nor trust is needed; `hm3_jax.interop.torch_pickle` says how.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from hm3_jax.files.content import what_a_text_is
from hm3_jax.interop.torch_pickle import RefusedPickle, unpickle

__all__ = ["RefusedPickle", "load_state_dict", "load_tensors"]


def load_tensors(path: str | os.PathLike[str]) -> Any:
    """Reads a `pickle` or `torch.save` file of nested containers of tensors.

    Args:
        path: The file: dict, OrderedDict, list and tuple of tensors, numbers, strings
            and None, written by plain `pickle` or by `torch.save` (either format).

    Returns:
        The same with dict for OrderedDict and a numpy array for each tensor (float32
        for bfloat16, which numpy does not have). Arrays may be read-only and share
        memory with one another.

    Raises:
        FileNotFoundError: If there is no such file.
        RefusedPickle: If the file asks for anything but tensors; the message has the
            full name of what it asked for, and nothing of it has run.
        ValueError: If the file is cut short, damaged, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of tensors, found none")
    try:
        with path.open("rb") as file:
            return unpickle(file)
    except RefusedPickle as error:
        raise RefusedPickle(f"{path}: {error}") from None
    except OSError:
        raise
    except Exception as error:
        # Damaged bytes make an unpickler raise almost anything.
        found = _what_it_is(path) or (
            f"it damaged or cut short ({type(error).__name__}: {_first_line(error)})"
        )
        raise ValueError(
            f"{path}: expected a whole file of tensors, found {found}"
        ) from None


def load_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a model's weights.

    Args:
        path: A `.safetensors` file, or a `torch.save` of a state dict, such as
            `pytorch_model.bin`.

    Returns:
        Array for each parameter name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or holds anything but named tensors;
            `RefusedPickle` as in `load_tensors`.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    weights = load_tensors(path)
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(weight, np.ndarray)
        for name, weight in weights.items()
    ):
        raise ValueError(
            f"{path}: expected a dict of named tensors, found other things"
        )
    return weights


def _load_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of weights, found none")
    try:
        return load_file(path)
    except (SafetensorError, KeyError, TypeError, AttributeError) as error:
        found = _what_it_is(path) or f"{type(error).__name__}: {_first_line(error)}"
        raise ValueError(
            f"{path}: expected a whole safetensors file of dtypes that numpy has, "
            f"found {found}"
        ) from None


def _what_it_is(path: Path) -> str | None:
    with path.open("rb") as file:
        return what_a_text_is(file.read(512))


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]
