"""A terminal in memory: takes the bytes that a driver would write, and shows them as a screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyte
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot

from agentdash.tui.app import Dashboard


class Recording(HeadlessDriver):
    """Keeps what is written; says that it is no headless driver, so that Textual writes."""

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.__dict__.setdefault("written", []).append(data)

    def flush(self) -> None:
        pass


class Tape:
    """What has been written since it was last read."""

    def __init__(self, app: Dashboard) -> None:
        self._app = app

    def read(self) -> str:
        driver = self._app._driver
        assert isinstance(driver, Recording)
        written: list[str] = driver.__dict__.setdefault("written", [])
        text = "".join(written)
        written.clear()
        return text


@asynccontextmanager
async def recorded(
    app: Dashboard, size: tuple[int, int]
) -> AsyncIterator[tuple[Pilot[None], Tape]]:
    """The dashboard at work on a recording driver."""
    app.driver_class = Recording
    ready: asyncio.Future[Pilot[None]] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def drive(pilot: Pilot[None]) -> None:
        ready.set_result(pilot)
        await done.wait()

    task = asyncio.create_task(app.run_async(size=size, auto_pilot=drive))
    try:
        pilot = await ready
        await pilot.pause()
        yield pilot, Tape(app)
    finally:
        done.set()
        app.exit()
        await task


def screen_of(size: tuple[int, int]) -> tuple[pyte.Screen, pyte.Stream]:
    """An empty terminal of that size."""
    screen = pyte.Screen(*size)
    return screen, pyte.Stream(screen)


def pixels(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """Each cell with its character and how it looks."""
    return [
        [tuple(screen.buffer[y][x]) for x in range(screen.columns)] for y in range(screen.lines)
    ]
