"""An engine in a thread and an event loop of its own: a face beside it can neither slow it nor end
it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Final

from controller.model.unreachable import why_unreachable

log = logging.getLogger(__name__)

FIRST_RESTART_S: Final = 1.0
LONGEST_RESTART_S: Final = 30.0

Main = Callable[[asyncio.Event], Awaitable[None]]


class FatalError(Exception):
    """What no restart can mend; the message is for the user."""


class EngineThread:
    """Runs `main(stopping)` until stopped; when it fails, says why and starts it again.

    It waits longer each time. A FatalError is not tried again.
    """

    def __init__(self, main: Main, *, name: str = "engine") -> None:
        self._main = main
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._problem: str | None = None
        self._fatal: str | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask it to end and wait; True if it has ended within the time."""
        if not self._thread.is_alive():
            return True
        self._ready.wait(timeout_s)
        if self._loop is not None and self._stopping is not None:
            try:
                self._loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:
                # the loop has closed between the two lines: it has ended by itself
                log.debug("the engine's loop was already closed")
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def problem(self) -> str | None:
        """Why it is not running, in words for the user; None while it runs."""
        return self._problem

    def fatal(self) -> str | None:
        """Why it will not be started again, if that is so."""
        return self._fatal

    def _run(self) -> None:
        asyncio.run(self._supervise())

    async def _supervise(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._ready.set()
        delay = FIRST_RESTART_S
        while not self._stopping.is_set():
            try:
                self._problem = None
                await self._main(self._stopping)
            except FatalError as error:
                self._problem = self._fatal = str(error)
                return
            except Exception as error:
                log.exception("the engine stopped")
                self._problem = f"{_words(error)}; starting again in {delay:.0f} s"
                await _wait(self._stopping, delay)
                delay = min(LONGEST_RESTART_S, delay * 2)


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return why_unreachable(error) or f"{type(error).__name__}: {error}"


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
