"""Virtual time for several processes in one thread: each has an event loop of its own, and the
kernel lets one of them run at a time.

The loops are asyncio's. Where one would wait for a timer, it returns to the kernel, which moves the
time to the next event of any process or of the world around them. So a process can be stopped as by
SIGSTOP, go on later with all its timers overdue, or end without a word as by SIGKILL, and every run
of the same history is the same.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Final

AT_ONE_INSTANT: Final = 500
"""After so many turns each takes a little time, as turns do: aiolimiter waits for a wait that is
shorter than the clock's resolution until the clock has moved.
"""
SPINS: Final = 20_000
"""So many turns without a wait are a loop without end."""
_RESOLUTION_S: Final = 1e-6


class BrokenPromiseError(AssertionError):
    """Something happened that never must; the text says what."""


class Kernel:
    """The time (seconds since the history began), what happens when, and what has happened."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self.machines: list[Machine] = []
        self.trace: list[str] = []
        self.broken: BrokenPromiseError | None = None
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def chance(self, channel: str) -> random.Random:
        """Random numbers of one channel alone, so that a fault that is left out changes the
        numbers of no other channel.
        """
        return random.Random(f"{self.seed}/{channel}")

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back after so much time."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), callback))

    def note(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now:.6f} {who} {what}")

    def breaks(self, words: str) -> BrokenPromiseError:
        """A promise is broken: to be raised. The history ends, though the engine may take the error
        for one of a request.
        """
        self.broken = self.broken or BrokenPromiseError(words)
        return self.broken

    def run(self, until: float) -> None:
        """Let everything happen that happens before `until`. Raises BrokenPromiseError."""
        events = self._events
        while True:
            following = math.inf
            for machine in self.machines:
                if machine.has_ended or machine.pauses:
                    continue
                while (due_at := machine.due_at()) <= self.now:
                    machine.turn()
                following = min(following, due_at)
            if self.broken is not None:
                raise self.broken
            if events and events[0][0] <= following:
                if events[0][0] > until:
                    break
                at, _, callback = heapq.heappop(events)
                self.now = max(self.now, at)
                callback()
            elif following > until:
                break
            else:
                self.now = max(self.now, following)
        self.now = max(self.now, until)

    def forget_the_ended(self) -> None:
        """Keep only machines that run."""
        self.machines = [machine for machine in self.machines if not machine.has_ended]


class Machine:
    """One process. While it has `pauses` it is stopped, but its time goes on."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.pauses = 0
        self.has_ended = False
        self._loop = _Loop(kernel)
        self._has_ready = False
        self._wakes_at = math.inf
        self._main: asyncio.Task[None] | None = None
        self._loop.on_error = self._unhandled
        kernel.machines.append(self)

    def start(self, main: Coroutine[Any, Any, None]) -> None:
        """Run this, at the next moment."""
        self._main = self._loop.create_task(main)
        self._has_ready = True

    def post(self, callback: Callable[[], None]) -> None:
        """Call back on the process's loop, when it runs; a process that has ended hears nothing."""
        if not self.has_ended:
            self._loop.call_soon(callback)
            self._has_ready = True

    def tasks(self) -> int:
        """How many tasks it has."""
        return len(asyncio.all_tasks(self._loop))

    def due_at(self) -> float:
        """When it can go on."""
        if self.has_ended or self.pauses:
            return math.inf
        return self.kernel.now if self._has_ready else self._wakes_at

    def turn(self) -> None:
        """Run it until it waits."""
        self._has_ready = False
        self._loop.run_until_it_waits()
        self._wakes_at = self._loop.wakes_at()
        main = self._main
        if main is not None and main.done() and not self.has_ended:
            self.has_ended = True
            error = None if main.cancelled() else main.exception()
            self._close()
            if error is not None:
                raise _broken(error) or BrokenPromiseError(
                    f"{self.name} has crashed: {error!r}"
                ) from error

    def kill(self) -> None:
        """End it without a word. What its tasks would still do has no effect."""
        if not self.has_ended:
            self.has_ended = True
            self._close()

    def _close(self) -> None:
        self._loop.on_error = _nothing
        for _ in range(5):
            tasks = asyncio.all_tasks(self._loop)
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self._loop.run_until_it_waits()
        self._loop.close()

    def _unhandled(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BrokenPromiseError):
            raise error
        raise BrokenPromiseError(f"{self.name}: {context.get('message')}: {error!r}")


def _broken(error: BaseException) -> BrokenPromiseError | None:
    """The broken promise that is the cause of an error of a task group."""
    if isinstance(error, BrokenPromiseError):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next((found for each in inner if (found := _broken(each))), None)


class _Handle:
    """A callback that waits for its turn, or for its time."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "when")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
        when: float = 0.0,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.when = when
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.callback, self.args = _nothing, ()

    def cancelled(self) -> bool:
        return self.is_cancelled


class _Loop(asyncio.AbstractEventLoop):
    """What the product's code asks of an event loop, and no more: asyncio's own takes three times
    as long for it, because it can wait, count and trace.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._numbers = itertools.count()
        self._is_closed = False
        self.on_error: Callable[[dict[str, Any]], None] = _nothing

    def time(self) -> float:
        return self._kernel.now

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return self._is_closed

    def is_running(self) -> bool:
        return asyncio.get_running_loop() is self

    def close(self) -> None:
        self._is_closed = True
        self._ready.clear()
        self._timers.clear()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = _Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self._kernel.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = _Handle(callback, args, context, when)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.on_error(context)

    def wakes_at(self) -> float:
        """When its next timer is due; never, if it has none."""
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heapq.heappop(timers)
        return timers[0][0] if timers else math.inf

    def run_until_it_waits(self) -> None:
        """Run all that is ready or due, and what comes of it."""
        kernel, ready, timers, turns = self._kernel, self._ready, self._timers, 0
        asyncio._set_running_loop(self)
        try:
            while True:
                due = kernel.now + _RESOLUTION_S
                while timers and timers[0][0] < due:
                    ready.append(heapq.heappop(timers)[2])
                if not ready:
                    return
                turns += 1
                if turns > SPINS:
                    raise BrokenPromiseError("a process never waits")
                if turns > AT_ONE_INSTANT:
                    kernel.now += _RESOLUTION_S
                for _ in range(len(ready)):
                    handle = ready.popleft()
                    if not handle.is_cancelled:
                        self._run(handle)
        finally:
            asyncio._set_running_loop(None)

    def _run(self, handle: _Handle) -> None:
        context = handle.context
        try:
            if context is None:
                handle.callback(*handle.args)
            else:
                context.run(handle.callback, *handle.args)
        except BrokenPromiseError:
            raise
        except Exception as error:  # noqa: BLE001  # as asyncio's own loop
            self.on_error({"message": f"{handle.callback} failed", "exception": error})


def _nothing(*_: object) -> None:
    """A callback that was cancelled."""
