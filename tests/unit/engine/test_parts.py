from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from controller.engine.supervise import (
    EngineThread,
    FatalError,
    Hub,
    SystemClock,
    spare_what_lasts,
)
from controller.model.ids import PoolKey
from controller.model.snapshot import Role, Snapshot

POOL = PoolKey("acme/research")
SNAPSHOT = Snapshot(
    epoch=0, sequence=1, at=0, interval_s=1, fleet="f", context="c", role=Role.ACTIVE
)


class Times:
    def __init__(self) -> None:
        self.wall = 1000.0
        self.monotonic = 5.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


def test_the_clock_follows_a_step_once_and_ignores_slewing() -> None:
    times = Times()
    clock = SystemClock(lambda: times.wall, lambda: times.monotonic)
    times.pass_by(10)
    assert clock.now() == 1010.0
    times.wall += 1.5
    assert clock.follow_step() == 0.0
    assert clock.now() == 1010.0
    times.wall -= 3601.5
    assert clock.follow_step() == -3600.0
    assert clock.follow_step() == 0.0
    assert clock.now() == -2590.0


def test_a_watcher_that_fails_is_dropped_and_the_others_hear_on() -> None:
    hub, heard = Hub(), []

    def broken(_: Snapshot) -> None:
        raise RuntimeError("broken screen")

    hub.subscribe(broken)
    end = hub.subscribe(heard.append)
    hub.publish(SNAPSHOT)
    hub.publish(SNAPSHOT)
    end()
    hub.publish(SNAPSHOT)
    assert heard == [SNAPSHOT, SNAPSHOT]
    assert hub.latest() is SNAPSHOT


def test_an_engine_that_fails_says_why_and_is_started_again() -> None:
    attempts, running = [], threading.Event()

    async def main(stopping: asyncio.Event) -> None:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            raise RuntimeError("the first time")
        running.set()
        await stopping.wait()

    thread = EngineThread(main)
    thread.start()
    while not (problem := thread.problem()) and not running.is_set():
        time.sleep(0.01)
    assert problem is not None
    assert "the first time" in problem
    assert running.wait(5.0)
    assert thread.problem() is None
    assert thread.stop(5.0)
    assert len(attempts) == 2


def test_what_no_restart_can_mend_is_not_tried_again() -> None:
    attempts = []

    async def main(_: asyncio.Event) -> None:
        attempts.append(1)
        raise FatalError("NATS server 2.9 is too old")

    thread = EngineThread(main)
    thread.start()
    assert thread.stop(5.0)
    assert attempts == [1]
    assert thread.fatal() == "NATS server 2.9 is too old"


def test_the_wait_before_a_restart_doubles_and_is_short_again_after_a_long_run() -> None:
    runs_s, times, waits = [0.0, 0.0, 0.0, 59.0, 60.0, 0.0], Times(), []

    async def main(_: asyncio.Event) -> None:
        times.pass_by(runs_s[len(waits)])
        raise RuntimeError("again")

    async def wait(stopping: asyncio.Event, seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == len(runs_s):
            stopping.set()

    thread = EngineThread(main, monotonic=lambda: times.monotonic, wait=wait)
    thread.start()
    while len(waits) < len(runs_s):
        time.sleep(0.01)
    assert thread.stop(5.0)
    assert waits == [1.0, 2.0, 4.0, 8.0, 1.0, 2.0]


def test_stopping_an_engine_whose_loop_never_starts_takes_no_longer_than_allowed() -> None:
    release = threading.Event()

    class Stuck(EngineThread):
        def _run(self) -> None:
            release.wait(10.0)

    async def main(_: asyncio.Event) -> None:
        raise AssertionError("the loop never starts")

    thread = Stuck(main)
    thread.start()
    began = time.monotonic()
    assert not thread.stop(0.5)
    assert time.monotonic() - began < 0.9
    release.set()


@pytest.fixture
def collector() -> Iterator[None]:
    """The garbage collector of this process, as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


LARGE_BLOCKS = """
import ctypes
from controller.engine.supervise import spare_what_lasts
spare_what_lasts()
del (freed := [bytearray(16 << 20)])[:]
taken = bytearray(8 << 20)
numbers = (ctypes.c_size_t * 10)
answer = ctypes.CDLL(None).mallinfo2
answer.restype = type("Info", (ctypes.Structure,), {"_fields_": [("numbers", numbers)]})
print(answer().numbers[4] >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that keeps freed blocks")
def test_large_blocks_are_taken_from_the_system_also_after_larger_ones_were_freed() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE_BLOCKS], capture_output=True, check=True)
    assert int(done.stdout) >= 8


def test_what_there_is_now_is_not_looked_through_again(collector: None) -> None:
    lasting = [[number] for number in range(50_000)]
    spare_what_lasts()
    tracked = len(gc.get_objects())
    assert gc.get_freeze_count() > len(lasting)
    assert tracked < len(lasting)
