"""A run that is asked to end does so, in time, whatever it is doing."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hm3_jax.learn.training.graceful_stop import GracefulStop

SIGNALS = [signal.SIGTERM, signal.SIGUSR1]

# In one call of C for a minute, in which Python runs no handler.
BUSY = """
import hashlib, sys
from hm3_jax.learn.training.graceful_stop import GracefulStop
with GracefulStop(grace_seconds=float(sys.argv[1])) as stop:
    print("an unfinished line", end="")
    stop.saved = eval(sys.argv[2])
    print("ready", file=sys.stderr, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**8)
"""


def start(repository, *arguments: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, *arguments],
        cwd=repository,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    time.sleep(0.1)  # now it is in the call
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_what_does_not_end_in_time_is_ended(repository, number):
    process = start(repository, "0.5", "'epoch 7 in runs/a'")
    begin = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert time.monotonic() - begin > 0.45  # in a call that takes a minute
    assert process.returncode == 0
    name = signal.Signals(number).name
    assert said == (
        f"stopped by {name} after 0.5 s of grace; epoch 7 in runs/a is complete, "
        "--resume continues from there\n"
    )


def test_without_grace_it_ends_at_once_and_claims_nothing(repository):
    process = start(repository, "0", "None")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert said.startswith("stopped by SIGTERM after 0 s of grace; what was saved bef")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_block_that_ends_in_time_goes_on(number):
    before = [signal.getsignal(number) for number in SIGNALS]
    with GracefulStop(grace_seconds=0.2) as stop:
        assert not stop.requested
        for _ in range(3):  # more of them change nothing
            os.kill(os.getpid(), number)
            assert stop.requested
    time.sleep(0.4)  # we are still here
    assert stop.requested
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1
    assert "GracefulStop" not in [thread.name for thread in threading.enumerate()]


def test_an_error_goes_through_and_puts_the_handlers_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyError), GracefulStop(grace_seconds=1):
        raise KeyError
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_keyboard_interrupts_as_ever():
    # Where the tests run in the background, a shell may have it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), GracefulStop(grace_seconds=0) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    assert not stop.requested
    signal.signal(signal.SIGINT, before)


def test_a_wakeup_that_was_there_is_put_back():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        signal.set_wakeup_fd(writer)
        with GracefulStop(grace_seconds=1):
            pass
        assert signal.set_wakeup_fd(-1) == writer
    finally:
        os.close(reader)
        os.close(writer)


def test_only_the_main_thread_can_wait_for_signals():
    errors = []

    def enter() -> None:
        try:
            with GracefulStop(grace_seconds=1):
                pass
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_the_grace_is_a_time(seconds):
    with pytest.raises(ValueError, match=f"at least 0, found {seconds}"):
        GracefulStop(grace_seconds=seconds)
