"""Runs an engine in its own thread and event loop, so that a user interface in the same process can
neither delay nor stop it, and passes its snapshots to those that subscribe.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final

from controller.model.servers import Backoff, no_jitter, why_unreachable
from controller.model.snapshot import Snapshot

log = logging.getLogger(__name__)

FIRST_RESTART_S: Final = 1.0
LONGEST_RESTART_S: Final = 30.0
HEALTHY_RUN_S: Final = 60.0
"""An engine that has run for so long was healthy; its next failure counts as the first."""

Main = Callable[[asyncio.Event], Awaitable[None]]
RestartWait = Callable[[asyncio.Event, float], Awaitable[None]]


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, for at most so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


class Hub:
    """The newest snapshot and its subscribers, safe in several threads."""

    def __init__(self) -> None:
        self._latest: Snapshot | None = None
        self._subscribers: dict[object, Callable[[Snapshot], None]] = {}
        self._earlier: tuple[Snapshot, ...] = ()

    def publish(self, snapshot: Snapshot) -> None:
        """Store the snapshot and call the subscribers; one that raises is logged and removed."""
        self._latest = snapshot
        for key, callback in tuple(self._subscribers.items()):
            try:
                callback(snapshot)
            except Exception:  # an error in a subscriber must not stop the loop
                log.exception("a subscriber failed and gets no more snapshots")
                self._subscribers.pop(key, None)

    def latest(self) -> Snapshot | None:
        """The newest snapshot; None before the first."""
        return self._latest

    def remember(self, earlier: tuple[Snapshot, ...]) -> None:
        """These were before the first that was published, the oldest first."""
        self._earlier = earlier

    def earlier(self) -> tuple[Snapshot, ...]:
        """What another process remembers of the time before the first, the oldest first."""
        return self._earlier

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call back with each snapshot, on the publisher's thread; returns what ends it."""
        key = object()
        self._subscribers[key] = callback

        def end() -> None:
            self._subscribers.pop(key, None)

        return end


class FatalError(Exception):
    """A failure that a restart cannot fix; the message is for the user."""


class EngineThread:
    """Runs `main(stopping)` until `stop`; when it fails, notes why and starts it again.

    The wait before a restart doubles from `FIRST_RESTART_S` to `LONGEST_RESTART_S`; after a run of
    `HEALTHY_RUN_S` it is `FIRST_RESTART_S` again. After a FatalError it is not started again.
    Tests may replace `monotonic` (seconds) and `wait`, which waits before a restart.
    """

    def __init__(
        self,
        main: Main,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wait: RestartWait = wait_for_event,
    ) -> None:
        self._main = main
        self._monotonic = monotonic
        self._wait = wait
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._problem: str | None = None
        self._fatal: str | None = None

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask the engine to end; True if it has, within `timeout_s` for start and end."""
        if not self._thread.is_alive():
            return True
        deadline = time.monotonic() + timeout_s
        self._ready.wait(timeout_s)
        if self._loop is not None and self._stopping is not None:
            try:
                self._loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:
                # the loop closed after the check above: the engine has ended by itself
                log.debug("the engine's loop was already closed")
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        return not self._thread.is_alive()

    def problem(self) -> str | None:
        """Why the engine is not running, as a text for the user; None while it runs."""
        return self._problem

    def fatal(self) -> str | None:
        """Why the engine will not be started again; None if it may still run."""
        return self._fatal

    def _run(self) -> None:
        asyncio.run(self._supervise())

    async def _supervise(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._ready.set()
        backoff = Backoff(FIRST_RESTART_S, LONGEST_RESTART_S, random=no_jitter)
        while not self._stopping.is_set():
            started_at = self._monotonic()
            try:
                self._problem = None
                await self._main(self._stopping)
            except FatalError as error:
                self._problem = self._fatal = str(error)
                return
            except Exception as error:
                log.exception("the engine stopped")
                if self._monotonic() - started_at >= HEALTHY_RUN_S:
                    backoff.reset()
                delay_s = backoff.next_s()
                self._problem = f"{_words(error)}; starting again in {delay_s:.0f} s"
                await self._wait(self._stopping, delay_s)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return why_unreachable(error) or f"{type(error).__name__}: {error}"


_YOUNG: Final = 10_000
"""New objects until the youngest are looked through: a tick of 1,000 pools makes some thousands."""


_M_MMAP_THRESHOLD: Final = -3
_LARGE: Final = 128 * 1024
"""Bytes from which glibc gives a freed block back. Left alone it raises this to the largest that
was freed, and the heap keeps holes: 1,000 pools took 165 MB, not 132, after 7 minutes of faults.
"""


def spare_what_lasts() -> None:
    """Collect once, and leave what there is now out of every later collection; large blocks are
    given back from now on.

    To be called when the fleet is known. A full collection would otherwise look through all
    modules and all pools again each time, and the loop stands still meanwhile.
    """
    gc.unfreeze()  # what an earlier call kept may have ended since, with an earlier fleet
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    if sys.platform == "linux" and (set_option := getattr(ctypes.CDLL(None), "mallopt", None)):
        set_option(_M_MMAP_THRESHOLD, _LARGE)


class SystemClock:
    """Unix seconds that go back only in `follow_step`.

    When the system's clock has stepped by more than `STEP_S`, `follow_step` takes over the new time
    once and returns the difference. The caller adds it to all remembered times, so that ages stay
    correct.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return self._offset + self._monotonic()

    def monotonic(self) -> float:
        """Seconds for ages and waits; no step of the system's clock changes them."""
        return self._monotonic()

    def follow_step(self) -> float:
        """Take over a step of the system's clock; returns its seconds, 0.0 if there was none."""
        from controller.planning.memory import STEP_S  # a dashboard needs no planner for the time

        step = self._wall() - self.now()
        if abs(step) <= STEP_S:
            return 0.0
        self._offset += step
        return step

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; a negative number counts as 0."""
        await asyncio.sleep(max(0.0, seconds))


def is_under_way(task: asyncio.Task[None] | None) -> bool:
    """Whether it was begun and has not ended."""
    return task is not None and not task.done()


def next_slot(slot: float, now: float, interval_s: float) -> tuple[float, int]:
    """The first slot after `slot` that is not past at `now`, and how many slots were skipped."""
    following = slot + interval_s
    if now <= following:
        return following, 0
    late = int((now - following) // interval_s) + 1
    return following + late * interval_s, late


class SignalSwitch:
    """Turned on and off by a signal, in any thread. A restart of the process turns it off."""

    is_on = False

    def listen(self) -> None:
        """Let SIGUSR1 freeze and SIGUSR2 thaw this process. To be called in the main thread."""
        for number, is_on in ((signal.SIGUSR1, True), (signal.SIGUSR2, False)):
            signal.signal(number, lambda *_, is_on=is_on: setattr(self, "is_on", is_on))
