"""Saves something of the latest snapshot now and then, in a task beside the ticks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from controller.engine.memory import FINISH_S, SAVE_LIMIT_S
from controller.model.snapshot import Snapshot
from controller.ports import Clock, StoreError

log = logging.getLogger(__name__)


class SavePlan(NamedTuple):
    """What is saved (in words, as `the past that people saw`), the seconds before the first save
    and between saves, and when two snapshots need no save between them.
    """

    what: str
    first_after_s: float
    every_s: float
    is_same: Callable[[Snapshot, Snapshot], bool]


class SnapshotSaver:
    """Nothing is decided by what it saves: a failure is logged, and the ticks go on."""

    def __init__(
        self, plan: SavePlan, save: Callable[[Snapshot], Awaitable[None]], clock: Clock
    ) -> None:
        self._plan = plan
        self._store = save
        self._clock = clock
        self._saved: Snapshot | None = None
        self._not_before = clock.monotonic() + plan.first_after_s
        self._saving: asyncio.Task[None] | None = None
        self._is_failing = False

    def remember(self, snapshot: Snapshot, tasks: asyncio.TaskGroup) -> None:
        """Take the latest snapshot, and start a save in `tasks` if one is due. Never waits."""
        if self._saving is None and self._clock.monotonic() >= self._not_before:
            if self._is_saved(snapshot):
                self._not_before = self._clock.monotonic() + self._plan.every_s
            else:
                name = f"save {self._plan.what}"
                self._saving = tasks.create_task(self._save(snapshot), name=name)

    async def finish(self, last: Snapshot | None) -> None:
        """Save the last snapshot if it is not saved yet, within `FINISH_S`; None is not saved."""
        try:
            async with asyncio.timeout(FINISH_S):
                if self._saving is not None:
                    await self._saving
                if last is not None and not self._is_saved(last):
                    await self._save(last)
        except TimeoutError:
            log.warning("%s was not saved in time", self._plan.what)

    def _is_saved(self, snapshot: Snapshot) -> bool:
        return self._saved is not None and self._plan.is_same(self._saved, snapshot)

    async def _save(self, snapshot: Snapshot) -> None:
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                await self._store(snapshot)
        except (StoreError, TimeoutError) as error:
            reason = str(error) or f"not done within {SAVE_LIMIT_S:g} s"
            if not self._is_failing:
                log.warning("%s cannot be saved: %s", self._plan.what, reason)
            self._is_failing = True
        else:
            self._saved, self._is_failing = snapshot, False
        finally:
            self._not_before = self._clock.monotonic() + self._plan.every_s
            self._saving = None
