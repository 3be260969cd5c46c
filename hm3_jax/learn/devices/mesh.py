"""Where runs and batches are computed: devices in a mesh of a run axis and a data axis.

Runs are spread over the run axis first; remaining devices form the data axis, over
which every batch is split. On each device runs are computed in *groups*: the runs of a
group side by side (`vmap`), one group after the other. A GPU is filled by one large
group; on a CPU, where a single run fills the caches, groups of one are fastest.
Spreading runs over more devices changes their numbers in the last bits only, by what
XLA's algebraic simplifier makes of another number of groups.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hm3_jax.learn.devices import memory, processes

RUN, DATA = "run", "data"
"""Names of the mesh's axes."""

BY_RUN = PartitionSpec(RUN)
"""Leading axis of slots, spread over the run axis."""
BY_DEVICE = PartitionSpec(RUN, DATA)
"""Two leading axes, the mesh's own: every device has its part."""
EVERYWHERE = PartitionSpec()
"""The same on every device."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """How many slots for runs there are, and which device computes which.

    Attributes:
        mesh: devices, axes `RUN` and `DATA`.
        vector: runs of a group, computed side by side.
    """

    mesh: Mesh
    vector: int

    @classmethod
    def of(
        cls,
        runs: int,
        devices: Sequence[Any] | None = None,
        *,
        vector: int | None = None,
        splits_batches: bool = True,
    ) -> "Layout":
        """A layout for some runs.

        Args:
            runs: trained together, at least 1.
            devices: to use; all of them without it.
            vector: runs of a group; without it one on CPUs and as many as there are for
                a device elsewhere.
            splits_batches: whether devices that have no run of their own may share
                another's batches; else they are left out.
        """
        devices = list(devices or jax.devices())
        # The most that divide the devices evenly: the rest of each row shares batches.
        spread = max(
            d for d in range(1, len(devices) + 1) if len(devices) % d == 0 and d <= runs
        )
        if not splits_batches:
            # Every process has to have a device that takes part, if only with slots
            # that stay free.
            several = len({device.process_index for device in devices}) > 1
            spread = len(devices) if several else min(runs, len(devices))
            devices = devices[:spread]
        if vector is None:
            vector = 1 if devices[0].platform == "cpu" else -(-runs // spread)
        grid = np.array(devices, object).reshape(spread, -1)
        return cls(Mesh(grid, (RUN, DATA)), vector)

    @property
    def run_devices(self) -> int:
        """Length of the run axis."""
        return self.mesh.shape[RUN]

    @property
    def data_devices(self) -> int:
        """Length of the data axis: shares of a batch."""
        return self.mesh.shape[DATA]

    def slots(self, runs: int) -> int:
        """Slots for some runs: whole groups, as many on every device."""
        whole = self.run_devices * self.vector
        return -(-runs // whole) * whole

    def free_memory(self) -> int:
        """Bytes that programs may use on each device; in every process the same."""
        here = [self.mesh.devices[place] for place in self.local_slots()]
        return min(processes.of_all(min(map(memory.available, here))))

    def put(self, tree: Any, spec: PartitionSpec) -> Any:
        """Puts host arrays on the devices; in every process the same values.

        Args:
            tree: of numpy arrays.
            spec: how each is spread.
        """
        sharding = NamedSharding(self.mesh, spec)
        if sharding.is_fully_addressable:
            return jax.device_put(tree, sharding)

        def one(x):
            return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)

        with jax.transfer_guard("allow"):  # asked for, though JAX cannot tell
            return jax.tree.map(one, tree)

    def local_slots(self) -> Iterator[tuple[int, int]]:
        """Slots in the mesh (run axis, data axis) of this process's devices."""
        mine = jax.process_index()
        for place, device in np.ndenumerate(self.mesh.devices):
            if device.process_index == mine:
                yield place[0], place[1]

    def put_parts(self, parts: Mapping[tuple[int, int], Any]) -> Any:
        """Gives each device an array of its own.

        Args:
            parts: tree of numpy arrays for each of `local_slots`, of equal shapes.

        Returns:
            Tree of arrays with the mesh's axes in front.
        """
        sharding = NamedSharding(self.mesh, BY_DEVICE)

        def one(*arrays):
            shape = (self.run_devices, self.data_devices, *arrays[0].shape)
            shards = [
                jax.device_put(array[None, None], self.mesh.devices[place])
                for place, array in zip(parts, arrays, strict=True)
            ]
            return jax.make_array_from_single_device_arrays(shape, sharding, shards)

        return jax.tree.map(one, *parts.values())

    def fetch(self, tree: Any) -> Any:
        """Copies arrays to the host, whole in every process."""
        sharding = NamedSharding(self.mesh, EVERYWHERE)
        if not sharding.is_fully_addressable:
            tree = _replicate(sharding)(tree)
        return jax.device_get(tree)

    def rearranged(self, tree: Any, slots: Sequence[int]) -> Any:
        """The trees of some slots, in another order or number.

        Args:
            tree: arrays with a leading axis of slots.
            slots: old slot of each new one.
        """
        chosen = self.put(np.array(slots, np.int32), EVERYWHERE)
        return _take(NamedSharding(self.mesh, BY_RUN))(tree, chosen)

    def spread(
        self,
        function: Callable[..., Any],
        in_specs: tuple[PartitionSpec, ...],
        out_specs: Any,
    ) -> Callable[..., Any]:
        """`function` on every device over its own part of the arguments."""
        # The gradients' sums over the data axis are written out where they are due.
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=in_specs,
            out_specs=out_specs,
            check_vma=False,
        )

    def map_groups(
        self,
        function: Callable[..., Any],
        active: jax.Array,
        of_runs: Any,
        of_groups: Any = None,
        otherwise: Callable[..., Any] | None = None,
    ) -> Any:
        """Calls a function for one group of a device's runs after the other.

        Args:
            function: of `of_runs` with a leading axis of the group's runs, and of
                `of_groups` without one; returns arrays with a leading axis of runs.
            active: which runs count, bool (slots,); groups without any are skipped.
            of_runs: tree of arrays with a leading axis of the device's slots.
            of_groups: tree of arrays with a leading axis of the device's groups.
            otherwise: what a skipped group gets, of the same arguments; zeros without
                it.
        """

        def split(x):
            return x.reshape(x.shape[0] // self.vector, self.vector, *x.shape[1:])

        def zeros(*args):
            shapes = jax.eval_shape(function, *args)
            return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def one(args):
            active, *rest = args
            return lax.cond(jnp.any(active), function, otherwise or zeros, *rest)

        out = lax.map(one, (split(active), jax.tree.map(split, of_runs), of_groups))

        def joined(x):
            # Said in full, as arrays may be of size 0.
            return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])

        return jax.tree.map(joined, out)


@functools.cache
def _replicate(sharding: NamedSharding) -> Callable[..., Any]:
    return jax.jit(lambda tree: tree, out_shardings=sharding)


@functools.cache
def _take(sharding: NamedSharding) -> Callable[..., Any]:
    def take(tree, slots):
        return jax.tree.map(lambda x: x[slots], tree)

    return jax.jit(take, out_shardings=sharding)
