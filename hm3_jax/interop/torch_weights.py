"""Parameters of the published PyTorch release <-> ours.

Both sides are described once, as a list of `_Leaf`s derived from a strategy: which
torch tensors, of which shape, make which leaf of our parameters. Importing and
exporting read the same list. Every torch weight has our axes reversed: linear
(out, in), convolution (out, in, k) and recurrent (gates * hidden, in) against
(in, out), (k, in, out) and (in, gates * hidden).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from hm3_jax.interop.own_weights import to_names
from hm3_jax.nn.strategy import (
    ConvConfig,
    MuseumConfig,
    PoolConfig,
    RecurrentConfig,
    TowersConfig,
)

_TEXT = "model_desc_pov"
_SCENE = "model_pov"
_ROOM = f"{_SCENE}.roomModel"
_SEQUENCE = f"{_SCENE}.sequenceModel"
_POOL_NAMES = {
    "views": "trf_photo",
    "images": "trf_image_art",
    "videos": "trf_video_art",
}
_CONV_NAMES = {"views": "conv", "images": "imageConv", "videos": "videoConv"}
_RECURRENT_NAMES = {
    "kernel_ih": "weight_ih",
    "kernel_hh": "weight_hh",
    "bias_ih": "bias_ih",
    "bias_hh": "bias_hh",
}

_Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Leaf:
    """A leaf of our parameters and the torch tensors it is made of.

    Attributes:
        path: Keys to the leaf, joined by dots; None for a layer that the release holds
            and never uses.
        names: Torch tensors: one for each direction of a recurrent leaf, else one.
        torch_shape: Shape of each of them.
        stacked: Whether the leaf has a first axis for the directions.
    """

    path: str | None
    names: tuple[str, ...]
    torch_shape: _Shape
    stacked: bool = False

    @property
    def shape(self) -> _Shape:
        lead = (len(self.names),) if self.stacked else ()
        return lead + self.torch_shape[::-1]


def _layer(name: str, shape: _Shape, path: str | None) -> Iterator[_Leaf]:
    """A linear or convolution layer, by its torch weight's shape (out, in[, k])."""
    for suffix, leaf, size in (
        ("weight", "kernel", shape),
        ("bias", "bias", shape[:1]),
    ):
        yield _Leaf(path and f"{path}.{leaf}", (f"{name}.{suffix}",), size)


def _recurrent(prefix: str, part: RecurrentConfig, path: str) -> Iterator[_Leaf]:
    width = part.gates * part.hidden_size
    shapes = {
        "kernel_ih": (width, part.in_size),
        "kernel_hh": (width, part.hidden_size),
        "bias_ih": (width,),
        "bias_hh": (width,),
    }
    for leaf, shape in shapes.items():
        name = f"{prefix}.{part.cell}.{_RECURRENT_NAMES[leaf]}_l0"
        names = (name, f"{name}_reverse")[: part.directions]
        yield _Leaf(f"{path}.{leaf}", names, shape, stacked=True)


def _pool(prefix: str, part: PoolConfig, path: str) -> Iterator[_Leaf]:
    for kind, size in part.kinds.items():
        name = f"{prefix}.{_POOL_NAMES[kind]}"
        yield from _layer(name, (part.size, size), f"{path}.{kind}")
    # The release makes this layer even where `skip_last_linear` leaves it unused.
    shape = (part.size, part.concatenated_size)
    out = None if part.out_size is None else f"{path}.out"
    yield from _layer(f"{prefix}.trf_mean", shape, out)


def _conv(prefix: str, part: ConvConfig, path: str) -> Iterator[_Leaf]:
    for kind, size in part.kinds.items():
        shape = (part.channels, size, part.kernel_size)
        yield from _layer(f"{prefix}.{_CONV_NAMES[kind]}", shape, f"{path}.{kind}")
    shape = (part.out_size, part.concatenated_size)
    yield from _layer(f"{prefix}.fc", shape, f"{path}.out")


def _model(prefix: str, part: MuseumConfig, path: str) -> Iterator[_Leaf]:
    match part:
        case RecurrentConfig():
            return _recurrent(prefix, part, path)
        case PoolConfig():
            return _pool(prefix, part, path)
        case ConvConfig():
            return _conv(prefix, part, path)


def _leaves(config: TowersConfig) -> list[_Leaf]:
    leaves = list(_model(_TEXT, config.text, "text"))
    prefix = _SCENE
    if config.room is not None:
        leaves += _model(_ROOM, config.room, "scene.room")
        prefix = _SEQUENCE
    leaves += _model(prefix, config.museum, "scene.museum")
    return leaves


def _check(
    what: str,
    config: TowersConfig,
    found: Mapping[str, np.ndarray],
    expected: Mapping[str, _Shape],
    optional: Mapping[str, _Shape],
) -> None:
    """Raises with every name that is missing, unexpected, mis-shaped or not float."""
    known = {**expected, **optional}
    problems = [
        f"{name} is unexpected, found {found[name].shape}"
        for name in sorted(set(found) - set(known))
    ]
    problems += [
        f"{name} is missing, expected {shape}"
        for name, shape in expected.items()
        if name not in found
    ]
    for name, shape in known.items():
        if name in found and found[name].shape != shape:
            problems.append(f"{name} expected {shape}, found {found[name].shape}")
        elif name in found and found[name].dtype not in (np.float16, np.float32):
            problems.append(f"{name} expected float32, found {found[name].dtype}")
    if problems:
        raise ValueError(
            f"{what} do not fit strategy {config.file_stem}: {'; '.join(problems)}"
        )


def from_torch(state: Mapping[str, np.ndarray], config: TowersConfig) -> dict[str, Any]:
    """Turns a torch state of the release into our parameters.

    Args:
        state: Torch parameter name -> array, float16 or float32. The last layer of a
            mean pool that skips it may be left out; it is not read.
        config: The strategy the state was trained for.

    Returns:
        Nested dict of float32 arrays: `text` (the text tower) and `scene`, which holds
        `museum` and, for a by-room strategy, `room`. Leaves: recurrent `kernel_ih`
        (directions, in, gates * hidden), `kernel_hh` (directions, hidden,
        gates * hidden), `bias_ih` and `bias_hh` (directions, gates * hidden), gates in
        torch's order; pool and convolution `views`, `images`, `videos` and `out`, each
        with `kernel` (in, out) or (k, in, out) and `bias` (out,).

    Raises:
        ValueError: Tensors are missing, unexpected, mis-shaped or not float; each is
            named, with what was expected and what was found.
    """
    leaves = _leaves(config)
    shapes: dict[bool, dict[str, _Shape]] = {True: {}, False: {}}
    for leaf in leaves:
        shapes[leaf.path is not None] |= dict.fromkeys(leaf.names, leaf.torch_shape)
    _check("torch tensors", config, state, shapes[True], shapes[False])

    params: dict[str, Any] = {}
    for leaf in leaves:
        if leaf.path is None:
            continue
        values = [np.asarray(state[name], np.float32).T for name in leaf.names]
        *parents, last = leaf.path.split(".")
        node = params
        for key in parents:
            node = node.setdefault(key, {})
        node[last] = np.stack(values) if leaf.stacked else values[0].copy("C")
    return params


def to_torch(params: Mapping[str, Any], config: TowersConfig) -> dict[str, np.ndarray]:
    """Turns our parameters into a torch state of the release.

    Args:
        params: Nested dict as `from_torch` gives it; leaves are arrays.
        config: The strategy of the parameters.

    Returns:
        Torch parameter name -> float32 array. The last layer of a mean pool that skips
        it, which the release holds and never uses, is zero.

    Raises:
        ValueError: Leaves are missing, unexpected, mis-shaped or not float; each is
            named, with what was expected and what was found.
    """
    leaves = _leaves(config)
    found = to_names(params)
    expected = {leaf.path: leaf.shape for leaf in leaves if leaf.path is not None}
    _check("parameters", config, found, expected, {})

    state = {}
    for leaf in leaves:
        if leaf.path is None:
            values = [np.zeros(leaf.shape, np.float32)]
        else:
            values = found[leaf.path] if leaf.stacked else [found[leaf.path]]
        for name, value in zip(leaf.names, values, strict=True):
            state[name] = np.ascontiguousarray(value.T, np.float32)
    return state
