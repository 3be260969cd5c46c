"""What steps are told: how much to measure, and on what."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
"""One thing that was measured: its name under "what", and numbers or words."""

Rows = Iterator[Row]


@dataclasses.dataclass(frozen=True)
class Setting:
    """How much to measure. The defaults are for a GPU; `miniature` is for a CPU.

    Attributes:
        folder: for generated data, kept between runs of the command.
        museums: of the generated store that is trained on.
        runs: trained at once, the most telling numbers first.
        late_runs: the same for late interaction.
        variant_runs: the same for the ways to compute a recurrence.
        bodies: steps in the body of an unrolled loop.
        epochs: of a measurement; the first one compiles.
        strategies: golden ones that are compared at every precision.
        all_strategies: whether all are compared at float32.
        product: rows and columns of the matrices that the card's rates are read off.
        copied: bytes of the array that its bandwidth is read off.
        vectors: museums of one vector that are searched.
        item_museums: museums of many vectors that are searched.
        items: of a museum, on average.
        pictured: museums whose pictures and sentences are encoded.
        workers: numbers of decoding processes.
        batch_size: of the encoder.
        precision: of the encoder.
        miniature: whether this is a rehearsal.
    """

    folder: Path
    museums: int = 10_000
    runs: tuple[int, ...] = (1, 33, 11, 132, 3)
    late_runs: tuple[int, ...] = (1, 11)
    variant_runs: tuple[int, ...] = (1, 33)
    bodies: tuple[int, ...] = (4, 16)
    epochs: int = 4
    strategies: tuple[str, ...] = (
        "hier_by_room_rnn_meanPoolProc_video",
        "rnn_rnn_lstm",
        "hier_by_room_rnn_meanPoolProc_cnn1d_image_video",
        "rnn_meanPoolProc",
    )
    all_strategies: bool = True
    product: int = 8192
    copied: int = 2**31
    vectors: int = 1_000_000
    item_museums: int = 100_000
    items: int = 30
    pictured: int = 40
    workers: tuple[int, ...] = (2, 4, 8, 14)
    batch_size: int = 256
    precision: str = "bf16"
    miniature: bool = False

    @property
    def store(self) -> Path:
        """The generated store."""
        return self.folder / f"museums_{self.museums}"

    @property
    def pictures(self) -> Path:
        """The museum list with generated pictures."""
        return self.folder / f"pictures_{self.pictured}" / "list" / "museums.jsonl"

    def to_text(self) -> str:
        """For another process."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def of_text(cls, text: str) -> Setting:
        """What `to_text` has made."""
        values = json.loads(text)
        lists = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**{**values, **lists, "folder": Path(values["folder"])})


def miniature(folder: Path) -> Setting:
    """Everything, as small as it can be."""
    return Setting(
        folder=folder,
        museums=30,
        runs=(1,),
        late_runs=(1,),
        variant_runs=(1,),
        bodies=(2,),
        epochs=2,
        strategies=("rnn_meanPoolProc",),
        all_strategies=False,
        product=128,
        copied=2**20,
        vectors=2000,
        item_museums=200,
        items=4,
        pictured=1,
        workers=(0,),
        batch_size=4,
        precision="float32",
        miniature=True,
    )
