"""How runs are carried out: on what, and how often they are saved."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from hm3_jax.learn.placement import DataPlacement


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """How runs are carried out; changes no number beyond the last bits.

    Attributes:
      runs_at_once: trained as one program; None for as many as fit the memory.
      num_devices: to use; None for all.
      data_placement: "device", "host" or "auto", see `learn.placement`.
      save_every_seconds: between saves, besides those at the end; 0 for every epoch.
      keep_going: whether a run that diverges is put aside and the others go on.
    """

    runs_at_once: int | None = None
    num_devices: int | None = None
    data_placement: DataPlacement = "auto"
    save_every_seconds: float = 60.0
    keep_going: bool = False

    def devices(self) -> Sequence[Any]:
        """The devices to use.

        Raises:
          ValueError: there are fewer, or several processes would leave some out.
        """
        every = jax.devices()
        wanted = self.num_devices or len(every)
        if wanted > len(every):
            raise ValueError(
                f"num_devices: expected at most {len(every)} ({every[0].platform}), "
                f"found {wanted}"
            )
        if jax.process_count() > 1 and wanted != len(every):
            raise ValueError(
                f"num_devices: {jax.process_count()} processes use all of their "
                f"{len(every)} devices, found {wanted}"
            )
        return every[:wanted]
