"""What outlives the process: memory, loaded once and saved beside the ticks, and intents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from typing import Final

from controller.engine.findings import Found
from controller.engine.intent_findings import IntentFindings
from controller.model.fleet import Fleet
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.snapshot import Severity
from controller.planning.remember.resume import resumed
from controller.ports import Clock, IntentStore, MemoryStore, StoreConflictError, StoreError

log = logging.getLogger(__name__)

RECALL_S: Final = 3.0
"""How long the first tick waits for what the process before has left."""
SAVE_EVERY_S: Final = 15.0
"""Without a decision that changes something, memory is saved no more often than this."""
SAVE_GAP_S: Final = 1.0
IDLE_SHARE: Final = 20
"""After a save, as many times its duration pass before the next: a large fleet's memory takes a
while, and most of the time is for other things."""
SAVE_AGAIN_S: Final = 5.0
SAVE_LIMIT_S: Final = 10.0
FINISH_S: Final = 2.0


class Keeper:
    """Memory and intents of one engine. What cannot be read or written is a finding."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        memories: MemoryStore,
        intents: IntentStore,
        clock: Clock,
        writes: bool,
    ) -> None:
        """With `writes` False nothing is ever saved."""
        self._fleet = fleet
        self._memories = memories
        self._intents = intents
        self._clock = clock
        self._writes = writes
        self._intent_findings = IntentFindings(fleet)
        self._latest: Memory | None = None
        self._saved: Memory | None = None
        self._saved_at = 0.0
        self._not_before = 0.0
        self._decided = False
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = ""
        self._lost = ""
        self._lost_until = 0.0

    async def recall(self) -> Memory:
        """What the process before has left; an empty memory if there is none to be had in time.
        The intents were read by then too, if that can be.
        """
        deadline = asyncio.get_running_loop().time() + RECALL_S
        memory = await self._load(deadline)
        self._saved, self._saved_at = memory, self._clock.now()
        if not self._lost:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._intents.first_read()
            except TimeoutError:
                log.warning("operators' intents are not known yet; beginning without")
        return memory

    def intents(self) -> Intents:
        """The intents to plan with now."""
        return self._intents.stored().in_force()

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back with what is concerned when intents change."""
        self._intents.on_change(callback)

    def remember(self, memory: Memory, tasks: asyncio.TaskGroup, *, decided: bool) -> None:
        """Take what a tick left; it is saved in one of these tasks when it is time, soon if the
        tick has `decided` to change something. Never waits; while one save runs only the latest
        memory is kept for the next.
        """
        self._latest = memory
        self._decided = self._decided or decided
        now = self._clock.now()
        if not self._is_unsaved() or self._saving is not None or now < self._not_before:
            return
        if self._decided or now - self._saved_at >= SAVE_EVERY_S:
            self._saving = tasks.create_task(self._save(), name="save memory")

    async def finish(self) -> None:
        """Save what is not saved yet, within 2 s."""
        try:
            async with asyncio.timeout(FINISH_S):
                if self._saving is not None:
                    await self._saving
                if self._is_unsaved():
                    await self._save()
        except TimeoutError:
            log.warning("memory was not saved in time; the next process begins a window anew")

    def notices(self) -> Iterator[Found]:
        """What somebody should know of it."""
        if self._lost and self._clock.now() < self._lost_until:
            text = f"{self._lost}: nothing is taken away before a whole window has been seen"
            yield Severity.WARNING, "memory", "lost", text
        if self._unsaved:
            text = f"cannot be saved, so a restart would begin a window anew: {self._unsaved}"
            yield Severity.WARNING, "memory", "save", text
        yield from self._intent_findings.found(self._intents.stored(), self._clock.now())

    async def _load(self, deadline: float) -> Memory:
        try:
            async with asyncio.timeout_at(deadline):
                left = await self._memories.load()
        except StoreError as error:
            self._forget(str(error))
            return Memory()
        except TimeoutError:
            self._forget(f"no answer within {RECALL_S:g} s")
            return Memory()
        if left is None:
            return Memory()
        now = self._clock.now()
        extra = {"age_s": round(now - left.saved_at, 3), "pools": len(left.memory.pools)}
        log.info("memory loaded", extra=extra)
        return resumed(left.memory, self._fleet, now)

    def _is_unsaved(self) -> bool:
        if not self._writes or self._latest is None:
            return False
        # the time of the last plan alone is no news
        return self._saved is None or self._latest.pools is not self._saved.pools

    async def _save(self) -> None:
        memory, self._decided = self._latest, False
        if memory is None:
            return
        began = self._clock.now()
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                await self._memories.save(memory, began)
        except StoreConflictError as error:
            self._failed(str(error), began + SAVE_EVERY_S)
        except StoreError as error:
            self._failed(str(error), began + SAVE_AGAIN_S)
        except TimeoutError:
            self._failed(f"not done within {SAVE_LIMIT_S:g} s", began + SAVE_AGAIN_S)
        else:
            if self._unsaved:
                log.info("memory is saved again")
            now = self._clock.now()
            self._saved, self._saved_at, self._unsaved = memory, began, ""
            self._not_before = now + max(SAVE_GAP_S, IDLE_SHARE * (now - began))
        finally:
            self._saving = None

    def _failed(self, words: str, not_before: float) -> None:
        if not self._unsaved:
            log.warning("memory cannot be saved: %s", words)
        self._unsaved, self._not_before, self._decided = words, not_before, True

    def _forget(self, words: str) -> None:
        log.warning("memory cannot be read, so a window begins anew: %s", words)
        windows = (pool.behavior.scale_down.stabilization_window_s for pool in self._fleet.pools)
        self._lost = f"what was remembered cannot be read ({words})"
        self._lost_until = self._clock.now() + max(windows, default=0)
