"""Reads torch files of strangers: tensors come back as numpy arrays, no code runs.

A pickle is a program. A plain `pickle` of torch tensors asks for a handful of
functions: each tensor is `torch._utils._rebuild_tensor_v2` applied to a storage, and
each storage `torch.storage._load_from_bytes` applied to the bytes of a `torch.save`,
that is, to another pickle. Here these names stand for functions of our own, every
other name is refused, and the nested bytes go through torch's weights-only loader.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    import torch

# What a torch.save of the format before zip files begins with, as pickled by any
# protocol: the magic number 0x1950a86a20f9469cfc6c, little-endian.
_LEGACY_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")

_WEIGHTS_ONLY_REFUSAL = re.compile(r"GLOBAL:? ([\w.]+)")


class RefusedPickle(ValueError):
    """A pickle asked for something that rebuilding tensors does not take."""


def load_tensors(path: str | os.PathLike[str]) -> Any:
    """Reads a `pickle` or `torch.save` file of nested containers of tensors.

    Args:
        path: The file: dict, OrderedDict, list and tuple of tensors, numbers, strings
            and None, written by plain `pickle` or by `torch.save` (either format).

    Returns:
        The same with dict for OrderedDict and a numpy array for each tensor
        (float32 where numpy has no such dtype, as for bfloat16). Arrays may be
        read-only and share memory with one another.

    Raises:
        FileNotFoundError: If there is no such file.
        RefusedPickle: If the file asks for anything but tensors; the message has the
            full name of what it asked for, and nothing of it has run.
        ValueError: If the file is cut short or damaged.
        ModuleNotFoundError: If torch is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of tensors, found none")
    try:
        with path.open("rb") as file:
            start = file.read(32)
            file.seek(0)
            if zipfile.is_zipfile(path) or _LEGACY_MAGIC in start:
                return _to_numpy(_load_weights_only(file))
            return _to_numpy(_TensorUnpickler(file).load())
    except RefusedPickle as error:
        raise RefusedPickle(f"{path}: {error}") from None
    except ModuleNotFoundError:
        raise
    except MemoryError:
        raise ValueError(
            f"{path}: expected tensors, found sizes beyond all memory"
        ) from None
    except Exception as error:
        # Damaged bytes make the unpicklers raise almost anything.
        raise ValueError(
            f"{path}: expected a whole file of tensors, found it damaged or cut short "
            f"({type(error).__name__}: {_first_line(error)})"
        ) from None


def load_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a model's weights.

    Args:
        path: A `.safetensors` file (needs no torch) or a `torch.save` of a state dict,
            such as `pytorch_model.bin`.

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
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected a file of weights, found none")
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: expected a whole safetensors file of dtypes that numpy has, "
            f"found {_first_line(error)}"
        ) from None


class _TensorUnpickler(pickle.Unpickler):
    """Unpickles containers of tensors and refuses every other name."""

    def find_class(self, module: str, name: str) -> _Call:
        try:
            return _Call(_ALLOWED[f"{module}.{name}"])
        except KeyError:
            raise RefusedPickle(
                f"expected only tensors, found a call for {module}.{name}: refused"
            ) from None

    def persistent_load(self, pid: object) -> NoReturn:
        raise RefusedPickle(
            f"expected only tensors, found persistent id {pid!r}: refused"
        )


class _Call:
    """Stands for an allowed name; can be called and nothing else.

    The pickle never holds the function itself, whose attributes it could set.
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: object) -> NoReturn:
        raise RefusedPickle("expected only tensors, found BUILD on a function: refused")


class _Array:
    """Stands for a rebuilt storage or tensor while unpickling.

    A pickle may hand any object a state to set (BUILD); numpy's own arrays would take
    it.
    """

    __slots__ = ("value",)

    def __init__(self, value: np.ndarray):
        self.value = value

    def __setstate__(self, state: object) -> NoReturn:
        raise RefusedPickle("expected only tensors, found BUILD on a tensor: refused")


def _load_from_bytes(data: bytes) -> _Array:
    """The flat array of a pickled torch storage."""
    torch = _import_torch()
    storage = _load_weights_only(io.BytesIO(data))
    if not isinstance(storage, torch.storage.TypedStorage):
        raise RefusedPickle(
            f"expected a nested storage, found {type(storage).__qualname__}: refused"
        )
    flat = torch.empty(0, dtype=storage.dtype).set_(storage)
    return _Array(_tensor_to_numpy(flat))


def _rebuild_tensor(
    storage: _Array,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: Any,
) -> _Array:
    """The array that looks at `storage` with these strides, all counted in items."""
    flat = storage.value
    sizes = [int(size) for size in shape]
    steps = [int(stride) for stride in strides]
    if offset < 0 or len(sizes) != len(steps) or min([*sizes, *steps], default=0) < 0:
        raise ValueError("a tensor's shape and strides do not fit each other")
    count = int(np.prod(sizes, dtype=object))
    last = offset + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    # torch would enlarge the storage; a view beyond it is a damaged or hostile file.
    if count and last >= len(flat):
        raise ValueError("a tensor reaches beyond its storage")
    view = np.lib.stride_tricks.as_strided(
        flat[offset:] if count else flat[:0],
        sizes,
        [step * flat.itemsize for step in steps],
        writeable=False,
    )
    # Pieces of one tensor are pickled with all of its storage each: keep the piece.
    return _Array(view if view.size == flat.size else view.copy())


def _rebuild_parameter(data: _Array, *_: Any) -> _Array:
    return data


_ALLOWED: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.storage._load_from_bytes": _load_from_bytes,
    "collections.OrderedDict": dict,
}


def _load_weights_only(file: IO[bytes]) -> Any:
    """torch.load of nothing but weights, with its refusal in one line."""
    torch = _import_torch()
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = _WEIGHTS_ONLY_REFUSAL.search(str(error))
        if refused is None:
            raise
        raise RefusedPickle(
            f"expected only tensors, found a call for {refused[1]}: refused"
        ) from None


def _to_numpy(value: Any) -> Any:
    """`value` with containers rebuilt and tensors as arrays."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {_to_numpy(key): _to_numpy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_to_numpy, value))
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, _import_torch().Tensor):
        return _tensor_to_numpy(value)
    raise RefusedPickle(f"expected only tensors, found a {type(value).__qualname__}")


def _tensor_to_numpy(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach()
    try:
        return tensor.numpy()
    except TypeError:
        return tensor.float().numpy()


def _import_torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(
            "reading torch files needs torch, found none: pip install torch",
            name="torch",
        ) from None
    return torch


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]
