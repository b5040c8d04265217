"""Runs an engine in its own thread and event loop, so that a user interface in the same process can
neither delay nor stop it.
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
    """A failure that a restart cannot fix; the message is for the user."""


class EngineThread:
    """Runs `main(stopping)` until `stop`; when it fails, notes why and starts it again.

    The wait before a restart doubles from `FIRST_RESTART_S` to `LONGEST_RESTART_S`. After a
    FatalError it is not started again.
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
        """Start the thread; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask the engine to end; True if it has ended. Waits up to `timeout_s` for its loop to
        start, then up to `timeout_s` for its thread to end.
        """
        if not self._thread.is_alive():
            return True
        self._ready.wait(timeout_s)
        if self._loop is not None and self._stopping is not None:
            try:
                self._loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:
                # the loop closed after the check above: the engine has ended by itself
                log.debug("the engine's loop was already closed")
        self._thread.join(timeout_s)
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
