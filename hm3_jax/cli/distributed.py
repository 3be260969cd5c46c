"""Flags of entries that may run as several processes, and how these begin and end.

The processes join by `jax.distributed`; from then on they are one program over the
devices of all. Process 0 speaks for all of them and writes the files.
"""

import contextlib
import functools
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from absl import flags

from hm3_jax.cli import frame

_DISTRIBUTED = flags.DEFINE_enum(
    "distributed",
    "auto",
    ["auto", "off"],
    "Whether to form one program with other processes: auto does if "
    "--coordinator_address is given, and in a SLURM job step of several tasks (srun), "
    "recognised by SLURM_STEP_NUM_TASKS.",
)
_COORDINATOR_ADDRESS = flags.DEFINE_string(
    "coordinator_address",
    None,
    "HOST:PORT at which process 0 waits for the others; the same in every process.",
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "Number of processes that form one program.", lower_bound=1
)
_PROCESS_ID = flags.DEFINE_integer(
    "process_id", None, "Number of this process, from 0.", lower_bound=0
)

# Seconds for all processes to arrive.
_TO_JOIN = 300
# Seconds without a sign of life after which a process counts as gone.
_HEARTBEAT = 30
# Seconds that a process whose work has failed waits for the others to fail alike.
_TO_FAIL_ALIKE = 10
# Seconds between noticing that another process is gone and ending: when all are asked
# to stop, each ends by itself, and none should take the others' end for a failure.
_TO_END_ANYWAY = 2

# How compiled code words that it could not reach another process.
_UNREACHED = ("Gloo ", "NCCL", "oordination service", "distributed service")


class Partners(NamedTuple):
    """Who this process joins: arguments of `jax.distributed.initialize`.

    Attributes:
        coordinator_address: of process 0, HOST:PORT; None for what SLURM says.
        num_processes: how many there are.
        process_id: which of them this is.
        local_device_ids: devices this process uses; empty for all it sees, None for the
            one of its number on its host.
    """

    coordinator_address: str | None
    num_processes: int
    process_id: int
    local_device_ids: list[int] | None


def joined(main: Callable[[], int | None]) -> Callable[[], int]:
    """Makes an entry's `main` run in several processes where flags or SLURM say so.

    All processes run `main`; only process 0 prints and warns. Where all of them fail,
    process 0 says why; one that fails by itself says so with its number. Where one is
    gone, the others end and their exit codes are not 0: it is 1 and they say so where
    an exchange with it fails; where JAX notices first, it aborts them.
    """

    @functools.wraps(main)
    def run() -> int:
        others = partners(os.environ)
        if others is None:
            return main() or 0
        company = _Company(others)
        try:
            company.join()
            code = main() or 0
        except BaseException as error:
            company.fail(error)
        company.leave()
        return code

    return run


def partners(environment: Mapping[str, str]) -> Partners | None:
    """Who the flags or SLURM say is to be joined, None for nobody.

    Args:
        environment: variables, SLURM's among them.

    Raises:
        ValueError: flags are missing or contradict each other.
    """
    given = [
        flag
        for flag in (_COORDINATOR_ADDRESS, _NUM_PROCESSES, _PROCESS_ID)
        if flag.value is not None
    ]
    if _DISTRIBUTED.value == "off":
        if given:
            raise ValueError(f"--{given[0].name} has no effect with --distributed=off")
        return None
    if given:
        return _given_partners()
    tasks = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks == 1:
        return None
    return Partners(
        coordinator_address=None,
        num_processes=tasks,
        process_id=int(environment["SLURM_PROCID"]),
        local_device_ids=_slurm_devices(environment),
    )


def _given_partners() -> Partners:
    address, count = _COORDINATOR_ADDRESS.value, _NUM_PROCESSES.value
    number = _PROCESS_ID.value
    if address is None or count is None or number is None:
        raise ValueError(
            "expected --coordinator_address, --num_processes and --process_id "
            f"together, found {address}, {count} and {number}"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"coordinator_address: expected HOST:PORT, found {address!r}")
    if number >= count:
        raise ValueError(
            f"process_id: expected less than --num_processes={count}, found {number}"
        )
    return Partners(address, count, number, local_device_ids=[])


def _slurm_devices(environment: Mapping[str, str]) -> list[int] | None:
    """Devices of a SLURM task: all it sees, or None for the one of its number.

    JAX gives every task the GPU of the task's number on its node. That is wrong where
    the task is alone there, and where SLURM has shown it a single GPU.
    """
    here = environment.get("SLURM_STEP_TASKS_PER_NODE", "").split("(")[0]
    shown = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return [] if here == "1" or (len(shown) == 1 and shown[0]) else None


class _Company:
    """This process among the others, from joining to the end."""

    def __init__(self, partners: Partners):
        self._partners = partners
        self._has_joined = False

    def join(self) -> None:
        """Waits for the others and forms one program with them."""
        if self._partners.process_id == 0:
            print("loading JAX, then waiting for the other processes")
        sys.stdout.flush()
        import jax

        if self._partners.process_id == 0:
            # Gloo prints to stdout whom it has reached; what we print goes past that.
            sys.stdout = os.fdopen(
                os.dup(1), "w", buffering=1, encoding=sys.stdout.encoding
            )
        else:
            warnings.showwarning = _say_nothing
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # It would take SIGTERM for itself.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            **self._partners._asdict(),
            cluster_detection_method=_detection(self._partners),
            initialization_timeout=_TO_JOIN,
            heartbeat_timeout_seconds=_HEARTBEAT,
        )
        self._has_joined = True

    def leave(self) -> None:
        """Waits until the others have ended their work too."""
        import jax

        sys.stdout.flush()
        jax.distributed.shutdown()

    def fail(self, error: BaseException) -> NoReturn:
        """Ends the process, whose work has failed."""
        if self._has_joined and any(words in str(error) for words in _UNREACHED):
            self._lost(error)
        code, number = frame.outcome(error)[0], self._partners.process_id
        if number == 0:
            frame.report(error)
        if not self._leaves_with_all() and number > 0:
            frame.report(error, f"process {number}: ")
        self._end(code)

    def _leaves_with_all(self) -> bool:
        """Whether all the others end their work too, before long."""
        if not self._has_joined:
            return False
        left = threading.Event()

        def leave() -> None:
            with contextlib.suppress(Exception):
                import jax

                jax.distributed.shutdown()
                left.set()

        threading.Thread(target=leave, daemon=True).start()
        return left.wait(_TO_FAIL_ALIKE)

    def _lost(self, error: BaseException) -> NoReturn:
        """Ends the process because another one is gone."""
        if flags.FLAGS["debug"].value:
            frame.report(error)
        number, count = self._partners.process_id, self._partners.num_processes
        # JAX aborts those that are left when process 0 ends, so it ends last.
        time.sleep(_TO_END_ANYWAY if number > 0 else 2 * _TO_END_ANYWAY)
        print(
            f"error: process {number} of {count} stops: another process has ended or "
            "cannot be reached; --resume continues from what is saved "
            f"({str(error).splitlines()[0]})",
            file=sys.stderr,
            flush=True,
        )
        self._end(1)

    def _end(self, code: int) -> NoReturn:
        sys.stdout.flush()
        # At its usual end Python would wait for the others.
        os._exit(code)


def _detection(partners: Partners) -> str | None:
    return "slurm" if partners.coordinator_address is None else "deactivate"


def _say_nothing(*args: Any, **kwargs: Any) -> None:
    del args, kwargs
