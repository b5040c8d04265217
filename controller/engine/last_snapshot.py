"""The last snapshot outlasts the process: who looks while no controller runs sees it, and the next
leader goes on from its scale events. Saved in a task beside the ticks; nothing is decided by it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from controller.engine.record import Recorder
from controller.engine.saving import SavePlan, SnapshotSaver
from controller.engine.show.snapshot import SnapshotBuilder
from controller.model.snapshot import Snapshot
from controller.ports import Clock, SnapshotStore, StoreError

log = logging.getLogger(__name__)

LAST_RECALL_S: Final = 1.0
"""How long a process that begins or takes over waits for it."""
LAST_EVERY_S: Final = 15.0
"""It is saved so often while something changes."""
LAST_AGAIN_S: Final = 300.0
"""And so often while nothing does, so that it says how long the process has run."""
_SHOWN: Final = (
    "role",
    "pools",
    "queues",
    "tenants",
    "models",
    "room",
    "nodes",
    "events",
    "findings",
    "frozen_by",
)


class LastKeeper:
    """Saves the last snapshot, and hands what it knows of the past to the next process."""

    def __init__(self, store: SnapshotStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        plan = SavePlan("the last snapshot", 0.0, LAST_EVERY_S, _shows_the_same)
        self._saver = SnapshotSaver(plan, store.save, clock)

    async def recall(self, snapshots: SnapshotBuilder, recorder: Recorder) -> None:
        """Let snapshots and scale events go on from it, where it is read in `LAST_RECALL_S`."""
        try:
            async with asyncio.timeout(LAST_RECALL_S):
                last = await self._store.load()
        except (StoreError, TimeoutError) as error:
            reason = str(error) or f"no answer within {LAST_RECALL_S:g} s"
            log.warning("the last snapshot cannot be read: %s", reason)
            return
        if last is not None:
            now = self._clock.now()
            snapshots.begin_after(last.epoch, now)
            recorder.begin_with(each for each in last.events if each.at <= now)

    def remember(self, snapshot: Snapshot, tasks: asyncio.TaskGroup) -> None:
        """Take the latest snapshot, and start a save in `tasks` if one is due. Never waits."""
        self._saver.remember(snapshot, tasks)

    async def finish(self, last: Snapshot | None) -> None:
        """Save the last snapshot if it is not saved yet; None, of a process that does not lead, is
        not saved.
        """
        await self._saver.finish(last)


def _shows_the_same(saved: Snapshot, latest: Snapshot) -> bool:
    """Whether only time went on between the two, and not for long."""
    return (
        saved.epoch == latest.epoch
        and 0 <= latest.at - saved.at < LAST_AGAIN_S
        and all(getattr(saved, name) == getattr(latest, name) for name in _SHOWN)
        and [link.state for link in saved.links] == [link.state for link in latest.links]
    )
