"""Unpickles torch tensors without torch, and without running what a pickle asks for.

A pickle is a program: it names functions and has them called. A pickle of tensors
names a handful, and here these names stand for inert objects of our own; every other
name is refused. `hm3_jax.interop.pickle_program` looks through it before, so that it
takes no more memory and time than a file of its size may. There are three containers,
all of them read here:

* plain `pickle`: each tensor is `torch._utils._rebuild_tensor_v2` of a storage, each
  storage `torch.storage._load_from_bytes` of the bytes of a `torch.save` of it;
* `torch.save` as a zip file: a pickle whose persistent ids name storages, which are
  files beside it in the zip;
* `torch.save` as it was before: the same pickle after three short ones, the storages
  behind it.
"""

from __future__ import annotations

import io
import mmap
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, Any, NoReturn

import numpy as np

from hm3_jax.interop.pickle_program import RefusedPickle, check_program

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

# numpy dtypes of torch's storage classes. numpy has no bfloat16: these are its bits.
_BFLOAT16 = np.dtype([("bfloat16", "<u2")])
_STORAGE_DTYPES = {
    "HalfStorage": np.dtype("<f2"),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "BFloat16Storage": _BFLOAT16,
    "BoolStorage": np.dtype("?"),
    "ByteStorage": np.dtype("u1"),
    "CharStorage": np.dtype("i1"),
    "ShortStorage": np.dtype("<i2"),
    "IntStorage": np.dtype("<i4"),
    "LongStorage": np.dtype("<i8"),
}


def unpickle(file: IO[bytes]) -> Any:
    """Reads one file of nested containers of tensors, of any of the three kinds.

    Args:
        file: The file, at its start; can seek.

    Returns:
        dict, list, tuple, numbers, strings, bytes and None, with a numpy array for
        each tensor (float32 for bfloat16). Arrays may be read-only and share memory.

    Raises:
        RefusedPickle: If the file asks for anything else; the message has its name.
        Exception: Of almost any kind, if the file is damaged.
    """
    start = file.read(32)
    file.seek(0)
    if start.startswith(b"PK") or _MAGIC.to_bytes(10, "little") in start:
        return _to_numpy(_load_torch_save(file))
    return _to_numpy(_load(file, _TENSORS | _NESTED))


class _Inert:
    """Stands in a pickle for something of torch's, and lets nothing be done to it."""

    __slots__ = ()

    def __setstate__(self, state: object) -> NoReturn:
        raise RefusedPickle("expected only tensors, found BUILD on one: refused")


class _Function(_Inert):
    """An allowed function: can be called, but its attributes are out of reach."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)


class _StorageType(_Inert):
    """A class of storages."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype):
        self.dtype = dtype


class _Storage(_Inert):
    """Numbers that tensors look at; in old files they come after the tensors."""

    __slots__ = ("count", "dtype", "numbers")

    def __init__(self, dtype: np.dtype, count: int):
        self.dtype = dtype
        self.count = count
        self.numbers: np.ndarray | None = None

    def fill(self, data: bytes) -> None:
        self.numbers = np.frombuffer(data, self.dtype, self.count)


class _Tensor(_Inert):
    """A look at a storage; offset, shape and strides count in items."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any):
        if not (
            isinstance(storage, _Storage)
            and isinstance(offset, int)
            and _is_sizes(shape)
            and _is_sizes(strides)
        ):
            raise ValueError("a tensor is put together from other things than its own")
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.strides = strides

    def to_numpy(self) -> np.ndarray:
        flat = self.storage.numbers
        if flat is None:
            raise ValueError("the file ends before the numbers of a tensor")
        if flat.dtype == _BFLOAT16:
            flat = (flat["bfloat16"].astype("<u4") << 16).view("<f4")
        if 0 in self.shape:
            return np.empty(self.shape, flat.dtype)
        reach = sum(
            (size - 1) * stride
            for size, stride in zip(self.shape, self.strides, strict=True)
        )
        # torch would enlarge the storage; what lies beyond it is nobody's numbers.
        if not 0 <= self.offset <= self.offset + reach < len(flat):
            raise ValueError("a tensor reaches beyond its storage")
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :],
            self.shape,
            [stride * flat.itemsize for stride in self.strides],
            writeable=False,
        )
        # Pieces of one tensor come with all of its storage each: keep the piece only.
        return view.copy() if view.size < flat.size else view


class _Dict(dict):
    """An OrderedDict; that of a model's weights has attributes, which are dropped."""

    def __setstate__(self, state: object) -> None:
        pass


class _Unpickler(pickle.Unpickler):
    """Unpickles what the names in `allowed` make, and storages by persistent id."""

    def __init__(
        self,
        file: IO[bytes],
        allowed: Mapping[tuple[str, str], _Inert],
        storage_of: Callable[[str, _Storage], _Storage] | None = None,
    ):
        super().__init__(file)
        self._allowed = allowed
        self._storage_of = storage_of

    def find_class(self, module: str, name: str) -> _Inert:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise RefusedPickle(
                f"expected only tensors, found a call for {module}.{name}: refused"
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            # The last of an old file's six is None but for views of storages, which
            # torch has not written for years.
            case (
                "storage",
                _StorageType() as kind,
                str() as key,
                str(),
                int() as count,
                *rest,
            ) if self._storage_of is not None and rest in ([], [None]) and count >= 0:
                return self._storage_of(key, _Storage(kind.dtype, count))
        raise RefusedPickle(
            f"expected only tensors, found persistent id {str(pid)[:80]!r}: refused"
        )


def _load(
    file: IO[bytes],
    allowed: Mapping[tuple[str, str], _Inert],
    storage_of: Callable[[str, _Storage], _Storage] | None = None,
) -> Any:
    """Loads the pickle that a file is at, see `_Unpickler`."""
    if isinstance(file, io.BytesIO):
        check_program(file.getbuffer(), file.tell())
    else:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            check_program(data, file.tell())
    return _Unpickler(file, allowed, storage_of).load()


def _load_from_bytes(data: object) -> _Storage:
    """The storage in the bytes of a `torch.save`."""
    if not isinstance(data, bytes):
        raise ValueError("a storage is put together from other things than bytes")
    storage = _load_torch_save(io.BytesIO(data))
    if not isinstance(storage, _Storage):
        raise RefusedPickle(
            f"expected a storage, found nested {type(storage).__name__}: refused"
        )
    return storage


def _load_torch_save(file: IO[bytes]) -> Any:
    """The object in a `torch.save`, tensors and storages not yet as arrays."""
    if file.read(2) == b"PK":
        file.seek(0)
        return _load_zip(file)
    file.seek(0)
    return _load_old(file)


def _load_zip(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError(f"a zip file with {len(names)} files data.pkl")
        folder = names[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist():
            _require_little_endian(_read(archive, f"{folder}byteorder") == b"little")
        storages: dict[str, _Storage] = {}

        def storage_of(key: str, storage: _Storage) -> _Storage:
            if key not in storages:
                storage.fill(_read(archive, f"{folder}data/{key}"))
                storages[key] = storage
            return storages[key]

        program = io.BytesIO(_read(archive, names[0]))
        return _load(program, _TENSORS, storage_of)


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    # torch does not compress; a compressed file may be far larger than it looks.
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    return archive.read(name)


def _load_old(file: IO[bytes]) -> Any:
    magic, protocol, system = (_load(file, {}) for _ in range(3))
    if magic != _MAGIC or protocol != _PROTOCOL:
        raise ValueError(f"torch's protocol {protocol!r} is unknown")
    _require_little_endian(system["little_endian"])
    storages: dict[str, _Storage] = {}
    value = _load(file, _TENSORS, storages.setdefault)
    for key in _load(file, {}):
        storage = storages[key]
        count = int.from_bytes(file.read(8), "little", signed=True)
        if count != storage.count:
            raise ValueError(f"a storage of {count} numbers instead of {storage.count}")
        size = count * storage.dtype.itemsize
        data = file.read(size)
        if len(data) != size:
            raise EOFError(f"{size - len(data)} bytes are missing")
        storage.fill(data)
    return value


def _require_little_endian(is_little: object) -> None:
    if not is_little:
        raise ValueError("its numbers are big-endian")


def _to_numpy(value: Any, known: dict[int, Any] | None = None) -> Any:
    """`value` with arrays for tensors and plain containers.

    Args:
        value: What a pickle made.
        known: What the objects met so far became, by their address; each is looked
            at once, however many hold it.
    """
    known = {} if known is None else known
    if id(value) not in known:
        known[id(value)] = _converted(value, known)
    return known[id(value)]


def _converted(value: Any, known: dict[int, Any]) -> Any:
    if isinstance(value, _Tensor):
        return value.to_numpy()
    if isinstance(value, dict):
        return {
            _to_numpy(key, known): _to_numpy(item, known) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_to_numpy(item, known) for item in value]
    if isinstance(value, tuple):
        return tuple(_to_numpy(item, known) for item in value)
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    raise RefusedPickle(
        f"expected only tensors, found a {type(value).__name__.lstrip('_')}: refused"
    )


def _is_sizes(value: object) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(size, int) and size >= 0 for size in value
    )


def _rebuild_tensor(
    storage: Any,
    offset: Any,
    shape: Any,
    strides: Any,
    requires_grad: Any = False,
    hooks: Any = None,
    metadata: Any = None,
) -> _Tensor:
    # Metadata say of numbers that they are yet to be negated or conjugated.
    if metadata:
        raise ValueError("a tensor has metadata")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(data: object, requires_grad: object, hooks: object) -> object:
    return data


def _rebuild_dict(*items: Any) -> _Dict:
    return _Dict(*items)


_TENSORS: dict[tuple[str, str], _Inert] = {
    ("torch._utils", "_rebuild_tensor"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
    ("collections", "OrderedDict"): _Function(_rebuild_dict),
    **{("torch", name): _StorageType(dtype) for name, dtype in _STORAGE_DTYPES.items()},
}
_NESTED: dict[tuple[str, str], _Inert] = {
    ("torch.storage", "_load_from_bytes"): _Function(_load_from_bytes)
}
