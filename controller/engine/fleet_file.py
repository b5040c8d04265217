"""Reads the fleet file again when it changes. A file with a fault keeps the last good one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from controller.config.document import FleetFileError, FleetSource, file_state
from controller.engine.clock import sleep_unless
from controller.engine.show.findings import FLEET_FILE, Found, listed
from controller.model.settings import Settings
from controller.model.snapshot import INVALID_FILE, Severity
from controller.ports import Clock

log = logging.getLogger(__name__)

FILE_LOOK_EVERY_S: Final = 1.0
_SHOWN: Final = 3
_NEEDS_RESTART: Final = ("nats", "kubernetes", "controller")
"""The parts of the file that a process reads once: its connections, and its own settings."""


class FleetFileWatch:
    """Follows the fleet file of a controller. `settings` are those in force: of the last file
    without a fault, apart from what needs a restart.
    """

    def __init__(self, source: FleetSource, settings: Settings, clock: Clock) -> None:
        """`settings` are those with which the process began."""
        self._source = source
        self._clock = clock
        self._state = source.state
        self._wanted = asyncio.Event()
        self._problems: tuple[str, ...] = ()
        self._waiting: tuple[str, ...] = ()
        self.settings = settings
        self.changed = asyncio.Event()

    def reread(self) -> None:
        """Read the file now, also if it seems unchanged. Called on the event loop."""
        self._wanted.set()

    async def run(self) -> None:
        """Follow the file until cancelled; sets `changed` when other settings are in force."""
        while True:
            await sleep_unless(self._wanted, self._clock, FILE_LOOK_EVERY_S)
            is_wanted = self._wanted.is_set()
            self._wanted.clear()
            state = await asyncio.to_thread(file_state, self._source.path)
            if is_wanted or state != self._state:
                self._state = state
                await self._read()

    def findings(self) -> Iterator[Found]:
        """A file that cannot be used, and changes that need a restart."""
        if self._problems:
            more = len(self._problems) - _SHOWN
            words = "; ".join(self._problems[:_SHOWN]) + (f"; {more} more" if more > 0 else "")
            text = f"is not taken over, the last good one stays in force: {words}"
            yield Severity.WARNING, FLEET_FILE, INVALID_FILE, text
        if self._waiting:
            text = f"{listed(self._waiting)} changed: restart the controller to put that in force"
            yield Severity.WARNING, FLEET_FILE, "restart", text

    async def _read(self) -> None:
        try:
            read = await asyncio.to_thread(self._source.load)
        except FleetFileError as error:
            problems = tuple(map(str, error.errors))
            if problems != self._problems:
                log.warning("fleet file not taken over", extra={"problems": problems[:_SHOWN]})
            self._problems = problems
            return
        if self._problems:
            log.info("the fleet file is good again")
        before, self._problems = self.settings, ()
        waiting = tuple(
            name for name in _NEEDS_RESTART if getattr(read, name) != getattr(before, name)
        )
        if waiting and waiting != self._waiting:
            log.warning("fleet file needs a restart", extra={"changed": waiting})
        self._waiting = waiting
        kept = {name: getattr(before, name) for name in _NEEDS_RESTART}
        self.settings = replace(read, **kept)
        if self.settings != before:
            _log_change(before, self.settings)
            self.changed.set()


def _log_change(before: Settings, after: Settings) -> None:
    old = {pool.key: pool for pool in before.fleet.pools}
    new = {pool.key: pool for pool in after.fleet.pools}
    log.info(
        "fleet file taken over",
        extra={
            "pools": len(new),
            "added": sorted(new.keys() - old.keys()),
            "removed": sorted(old.keys() - new.keys()),
            "changed": sorted(key for key in new.keys() & old.keys() if new[key] != old[key]),
        },
    )
