"""A terminal in memory: it takes what a driver would write, and shows it as a screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyte
from textual.app import App
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot


class RecordingDriver(HeadlessDriver):
    """Keeps what is written. It is not headless for Textual, which would write nothing then."""

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.__dict__.setdefault("written", []).append(data)

    def flush(self) -> None:
        pass


class Recording:
    """What was written since it was read last."""

    def __init__(self, app: App[None]) -> None:
        self._app = app

    def read(self) -> str:
        return "".join(self.writes())

    def writes(self) -> list[str]:
        """One text for each time that something was written."""
        driver = self._app._driver
        assert isinstance(driver, RecordingDriver)
        written: list[str] = driver.__dict__.setdefault("written", [])
        taken = list(written)
        written.clear()
        return taken


@asynccontextmanager
async def recorded(
    app: App[None], size: tuple[int, int]
) -> AsyncIterator[tuple[Pilot[None], Recording]]:
    """Run the dashboard on a recording driver."""
    app.driver_class = RecordingDriver
    ready: asyncio.Future[Pilot[None]] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def drive(pilot: Pilot[None]) -> None:
        ready.set_result(pilot)
        await done.wait()

    task = asyncio.create_task(app.run_async(size=size, auto_pilot=drive))
    try:
        pilot = await ready
        with app._context():  # a pause may draw, which Textual allows only inside its app
            await pilot.pause()
            yield pilot, Recording(app)
    finally:
        done.set()
        app.exit()
        await task


def screen_of(size: tuple[int, int]) -> tuple[pyte.Screen, pyte.Stream]:
    """An empty terminal of this size."""
    screen = pyte.Screen(*size)
    return screen, pyte.Stream(screen)


def cells(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """Each cell with its character and its style; of a blank only what can be seen of it."""
    return [
        [_seen(screen.buffer[y][x]) for x in range(screen.columns)] for y in range(screen.lines)
    ]


def _seen(cell: pyte.screens.Char) -> tuple[object, ...]:
    if cell.data == " " and not (cell.underscore or cell.strikethrough or cell.reverse):
        return (" ", cell.bg)
    return tuple(cell)
