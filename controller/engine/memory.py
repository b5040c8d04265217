"""What is stored in NATS beyond the process: the planner's memory, operators' intents, and the last
snapshot.

Memory is loaded at the start, or as soon as the store answers, and saved in a task beside the
ticks. Before that nothing is saved, so that no earlier memory is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from controller.engine.intents import IntentFindings
from controller.engine.show.findings import Found, found
from controller.engine.show.snapshot import SnapshotBuilder
from controller.engine.supervise import is_under_way
from controller.model.fleet import Fleet
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory, SavedMemory
from controller.model.observation import TenantSpent
from controller.model.snapshot import Snapshot
from controller.planning.resume import on_this_clock, resumed, saw_more
from controller.ports import (
    Clock,
    IntentStore,
    MemoryStore,
    QueueSource,
    SnapshotStore,
    StoreAwayError,
    StoreConflictError,
    StoreError,
    StoreUnreadableError,
    UsageSource,
)


def to_plan_with(memory: Memory) -> Memory:
    """The memory without what is saved beside it for the next process: nothing is planned by it."""
    pools = {key: replace(pool, queues=(), standing=None) for key, pool in memory.pools.items()}
    return replace(memory, pools=pools, spent={})


log = logging.getLogger(__name__)

RECALL_S: Final = 3.0
"""How long the first tick waits for the stored memory and intents."""
SAVE_EVERY_S: Final = 15.0
"""The least time between saves while no decision changes a replica count."""
SAVE_MILESTONES_EVERY_S: Final = 2.0
"""The same, after a milestone in the history of a queue."""
SEEN_EVERY_S: Final = 15.0
"""How often it is noted that nothing is missing in what was saved: as often as histories are kept.
So much of the time before a kill counts as unseen."""
SAVE_GAP_S: Final = 1.0
IDLE_SHARE: Final = 20
"""The pause after a save, as a multiple of the save's duration: saving a large fleet's memory takes
at most about 1/20 of the time."""
SAVE_AGAIN_S: Final = 5.0
SAVE_LIMIT_S: Final = 10.0
FINISH_S: Final = 2.0
LOAD_GAP_S: Final = 1.0
"""The least time between attempts to load a memory whose store did not answer at the start."""


class Keeper:
    """Loads and saves one engine's memory, and reads its intents. A failure is a finding."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        memories: MemoryStore,
        intents: IntentStore,
        clock: Clock,
        histories: QueueSource,
        usage: UsageSource,
    ) -> None:
        """`histories` know where queues stand in theirs, `usage` what tenants have spent."""
        self._usage = usage
        self._saved_counted = 0
        self._fleet = fleet
        self._memories = memories
        self._intents = intents
        self._clock = clock
        self._histories = histories
        self._queues = {pool.key: pool.queues for pool in fleet.pools}
        self._saved_milestones = 0
        self._intent_findings = IntentFindings(fleet)
        self._latest: Memory | None = None
        self._saved: Memory | None = None
        self._saved_at = 0.0
        self._seen_at = 0.0
        self._began = clock.monotonic()
        self._is_partial = False
        self._not_before = 0.0
        self._decided = False
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = ""
        self._unread = ""
        self._loading: asyncio.Task[None] | None = None
        self._on_found: Callable[[Memory], None] = lambda _memory: None
        self._lost = ""
        self._lost_until = 0.0

    async def recall(self) -> Memory:
        """The memory of the process before, empty without one; waits for intents too, `RECALL_S` in
        all. A store that is late calls `on_found`.
        """
        memory = await self._load(asyncio.get_running_loop().time() + RECALL_S)
        self._saved_at = self._began = self._clock.monotonic()
        self._saved_milestones = self._histories.milestones
        return memory or Memory()

    def go_on_with(self, unread: str, spent: Mapping[str, TenantSpent]) -> None:
        """Begin with what this process's engine before has left, perhaps unsaved."""
        self._unread, self._decided = unread, True
        self._usage.go_on_from(spent)

    @property
    def spent(self) -> Mapping[str, TenantSpent]:
        """What tenants have spent, for the next engine."""
        return self._usage.spent()

    @property
    def unread(self) -> str:
        """Why the memory of an earlier process is not read yet; empty if nothing is to be read."""
        return self._unread

    def on_found(self, callback: Callable[[Memory], None]) -> None:
        """Call back with the memory of an earlier process when the store answers late."""
        self._on_found = callback

    async def take_over(self, watched: Callable[[], Memory]) -> Memory | None:
        """The previous leader's memory with what was `watched` until it is read, within `RECALL_S`;
        None without one: then this process's own memory begins anew, and what it has watched before
        is not known if the store answers late.
        """
        self._load_no_more()
        memory = await self._load(asyncio.get_running_loop().time() + RECALL_S, watched)
        now = self._clock.monotonic()
        if memory is None:
            self._began = now
        else:
            self._saved_at = now
        return memory

    def follow(self) -> None:
        """Save nothing from now on: another process leads, and what it saves counts."""
        self._load_no_more()
        self._latest, self._decided = None, False

    def intents(self) -> Intents:
        """The intents in force now."""
        return self._intents.stored().in_force()

    def on_change(self, callback: Callable[[Collection[Scope]], None]) -> None:
        """Call back with the changed scopes when intents change."""
        self._intents.on_change(callback)

    def remember(self, memory: Memory, tasks: asyncio.TaskGroup, *, decided: bool) -> None:
        """Take the memory after a tick, and start a save in `tasks` if one is due; where an earlier
        memory is not read yet, an attempt to read it.

        A save is due after `SAVE_EVERY_S`, earlier after a milestone of a queue, or at once if the
        tick has `decided` to change a replica count, or has seen what keeps one. Where that cannot
        be saved at once, the store is told that more was seen than it has. Never waits. Saves do
        not overlap: while one runs, only the latest memory is kept.
        """
        self._latest = memory
        self._decided = self._decided or decided
        now = self._clock.monotonic()
        if self._unread and not is_under_way(self._loading) and now >= self._not_before:
            self._loading = tasks.create_task(self._load_late(), name="load memory")
        if is_under_way(self._saving) or self._unread:
            return
        lacks, now = self._lacks_what_was_seen(), self._clock.monotonic()
        if self._is_save_due(now, lacks=lacks):
            self._saving = tasks.create_task(self._save_now(lacks=lacks), name="save memory")
        elif self._saved is None or self._is_partial or self._unsaved:
            return
        elif lacks or now - self._seen_at >= SEEN_EVERY_S:
            note = self._note_seen(is_partial=lacks)
            self._saving = tasks.create_task(note, name="note what memory lacks")

    async def finish(self) -> None:
        """Save the latest memory if it is not saved yet, within `FINISH_S`."""
        try:
            async with asyncio.timeout(FINISH_S):
                if self._saving is not None:
                    await self._saving
                if self._is_unsaved():
                    await self._save()
                elif self._latest is not None and self._saved is not None:
                    await self._note_seen(is_partial=False)
        except TimeoutError:
            log.warning("memory was not saved in time; a restart begins a new stabilization window")

    def notices(self) -> Iterator[Found]:
        """Findings about memory that was lost or cannot be saved, and about intents."""
        if self._unread:
            why = (
                f"the stored memory cannot be read yet ({self._unread}): it is kept, and the pools"
                " go on from it when it can; until then they scale down only after a whole window"
            )
            yield found("lost", "memory", why=why)
        elif self._lost and self._clock.monotonic() < self._lost_until:
            why = f"{self._lost}: no pool scales down before a whole window has been observed"
            yield found("lost", "memory", why=why)
        if self._unsaved:
            yield found("save", "memory", why=self._unsaved)
        yield from self._intent_findings.found(self._intents.stored(), self._clock.now())

    async def _load(
        self, deadline: float, watched: Callable[[], Memory] | None = None
    ) -> Memory | None:
        """What an earlier process has left, with what was `watched` since, or None; not before
        intents are known. A store that is away is asked again; nothing is saved before it answers.
        """
        try:
            async with asyncio.timeout_at(deadline):
                left = await self._memories.load()
        except (StoreAwayError, TimeoutError) as error:
            reason = str(error) or f"no answer within {RECALL_S:g} s"
            if watched is not None:
                log.warning("the previous leader's memory cannot be read: %s", reason)
            elif not self._unread:
                log.warning("memory cannot be read yet, so windows begin: %s", reason)
            self._unread = reason
            return None
        except StoreError as error:
            self._unread = ""
            if watched is None:
                self._forget(str(error))
            else:
                log.warning("the previous leader's memory cannot be read: %s", error)
            return None
        if watched is None:
            await self._read_intents(deadline)
        self._unread = ""
        return None if left is None else self._resumed(left, None if watched is None else watched())

    async def _load_late(self) -> None:
        try:
            memory = await self._load(asyncio.get_running_loop().time() + RECALL_S)
            if memory is not None:
                self._on_found(memory)
            if not self._unread:
                self._saved = None  # what is planned with has more than what is stored
        finally:
            self._not_before = self._clock.monotonic() + LOAD_GAP_S

    def _load_no_more(self) -> None:
        """What is found late is of no use: another process leads, or what it left is read anew."""
        if self._loading is not None:
            self._loading.cancel()

    async def _read_intents(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._intents.first_read()
        except TimeoutError:
            log.warning("operators' intents are not read yet; starting without them")

    def _resumed(self, left: SavedMemory, watched: Memory | None = None) -> Memory:
        now = self._clock.now()
        memory = on_this_clock(left, now)
        age_s = now - left.saved_at if left.age_s is None else left.age_s
        extra = {"age_s": round(age_s, 3), "pools": len(left.memory.pools)}
        log.info("memory loaded", extra=extra)
        marks = (mark for pool in memory.pools.values() for mark in pool.queues)
        self._histories.go_on_from(marks)
        if left.memory.spent:
            self._usage.go_on_from(left.memory.spent)
        watched_s = self._clock.monotonic() - self._began
        left = replace(left, memory=to_plan_with(memory))
        memory = resumed(left, self._fleet, now, watched, watched_s)
        # time that nobody has watched has moved it: it is saved so, or would be moved once more
        self._saved, self._decided = None, True
        return memory

    def _to_save(self, memory: Memory) -> Memory:
        """The memory, with what only the next process needs."""
        pools = {
            key: replace(pool, queues=self._histories.marks(self._queues.get(key, ())))
            for key, pool in memory.pools.items()
        }
        return replace(memory, pools=pools, spent=dict(self._usage.spent()))

    def _is_unsaved(self) -> bool:
        if self._latest is None or self._unread:
            return False
        # the time of the last plan alone is not worth a save
        if self._saved is None or self._latest.pools is not self._saved.pools:
            return True
        is_told = self._usage.counted == self._saved_counted
        return not is_told or self._histories.milestones != self._saved_milestones

    def _lacks_what_was_seen(self) -> bool:
        """Whether a process with the saved memory could scale down what this one must not."""
        saved, latest = self._saved, self._latest
        return saved is not None and latest is not None and saw_more(saved, latest)

    def _is_save_due(self, now: float, *, lacks: bool) -> bool:
        if not self._is_unsaved() or now < self._not_before:
            return False
        is_milestone = self._histories.milestones != self._saved_milestones
        every_s = SAVE_MILESTONES_EVERY_S if is_milestone else SAVE_EVERY_S
        return self._decided or lacks or now - self._saved_at >= every_s

    async def _save_now(self, *, lacks: bool) -> None:
        """Save, and say before and after what the saved memory lacks: a save may take long."""
        if lacks and not self._is_partial:
            await self._note_seen(is_partial=True)
        await self._save()
        if not self._unsaved and self._lacks_what_was_seen():
            await self._note_seen(is_partial=True)

    async def _save(self) -> None:
        memory, self._decided = self._latest, False
        if memory is None:
            return
        began, milestones = self._clock.monotonic(), self._histories.milestones
        counted = self._usage.counted
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                await self._memories.save(self._to_save(memory), self._clock.now())
        except StoreError as error:
            self._failed(str(error), began + SAVE_AGAIN_S)
        except TimeoutError:
            self._failed(f"not done within {SAVE_LIMIT_S:g} s", began + SAVE_AGAIN_S)
        else:
            if self._unsaved:
                log.info("memory is saved again")
            now = self._clock.monotonic()
            self._saved, self._saved_at, self._unsaved = memory, began, ""
            self._seen_at, self._is_partial = began, False
            self._saved_milestones, self._saved_counted = milestones, counted
            self._not_before = now + max(SAVE_GAP_S, IDLE_SHARE * (now - began))

    async def _note_seen(self, *, is_partial: bool) -> None:
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                await self._memories.seen(is_partial=is_partial)
        except (StoreError, TimeoutError) as error:
            log.debug("it is not noted until when the saved memory is complete: %s", error)
            # perhaps another one is stored: it is saved again, which tells
            self._saved, self._decided = None, True
        else:
            self._seen_at, self._is_partial = began, is_partial

    def _failed(self, words: str, not_before: float) -> None:
        if not self._unsaved:
            log.warning("memory cannot be saved: %s", words)
        self._unsaved, self._not_before, self._decided = words, not_before, True

    def _forget(self, words: str) -> None:
        log.warning("memory cannot be read, so new windows begin: %s", words)
        windows = (pool.behavior.scale_down.stabilization_window_s for pool in self._fleet.pools)
        self._lost = f"the stored memory cannot be read ({words})"
        self._lost_until = self._clock.monotonic() + max(windows, default=0)


KEPT_RECALL_S: Final = 1.0
"""How long a process that begins or takes over waits for it."""
KEPT_LOAD_AGAIN_S: Final = 5.0
"""The least time between attempts to read it."""
KEPT_EVERY_S: Final = 15.0
"""It is saved so often while something changes, as often as a slot of a history ends."""
KEPT_EVERY_S_PER_POOL: Final = 0.015
"""From 1,000 pools on less often, so that no more than 40 kB a second are written for it."""
KEPT_AGAIN_S: Final = 300.0
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
    "histories",
    "tenant_histories",
)


class FrameKeeper:
    """Saves the last snapshot, and recalls an earlier process's, before which none is saved. A
    failure is logged: only the shown past gets shorter.
    """

    def __init__(self, store: SnapshotStore, clock: Clock, snapshots: SnapshotBuilder) -> None:
        self._store = store
        self._clock = clock
        self._snapshots = snapshots
        self._saved: Snapshot | None = None
        self._not_before = 0.0
        self._load_not_before = 0.0
        self._saving: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._is_failing = False
        self.is_unread = True
        """Whether the store may have something that the snapshots do not go on from yet."""

    async def recall(self) -> None:
        """Go on from what was saved, within `KEPT_RECALL_S` or when it can be read."""
        self.is_unread = True
        await self._load(KEPT_RECALL_S)

    def remember(self, snapshot: Snapshot, tasks: asyncio.TaskGroup) -> None:
        """Take the latest snapshot, and start the save or the first load that is due."""
        now = self._clock.monotonic()
        if self.is_unread:
            if not is_under_way(self._loading) and now >= self._load_not_before:
                load = self._load(SAVE_LIMIT_S)
                self._loading = tasks.create_task(load, name="load the last snapshot")
        elif not is_under_way(self._saving) and now >= self._not_before:
            if self._is_saved(snapshot):
                self._not_before = now + every_s(len(snapshot.pools))
            else:
                self._saving = tasks.create_task(
                    self._save(snapshot), name="save the last snapshot"
                )

    async def finish(self, last: Snapshot | None) -> None:
        """Save the last snapshot if needed, within `FINISH_S`; None: we do not lead."""
        if self._loading is not None:
            self._loading.cancel()
        try:
            async with asyncio.timeout(FINISH_S):
                if self._saving is not None:
                    await self._saving
                if last is not None and not self.is_unread and not self._is_saved(last):
                    await self._save(last)
        except TimeoutError:
            log.warning("the last snapshot was not saved in time")

    def follow(self) -> None:
        """Save nothing from now on: another process leads."""
        self.is_unread = True

    async def _load(self, limit_s: float) -> None:
        """Go on from what is stored, if it can be read within this time."""
        try:
            async with asyncio.timeout(limit_s):
                left = await self._store.load()
        except StoreUnreadableError as error:
            log.warning("the last snapshot cannot be read: %s", error)
        except (StoreError, TimeoutError) as error:
            self._failed("read", error, limit_s)
            return
        else:
            if left is not None:
                self._snapshots.begin_with(left, self._clock.now())
        finally:
            self._load_not_before = self._clock.monotonic() + KEPT_LOAD_AGAIN_S
        self.is_unread = self._is_failing = False

    def _is_saved(self, snapshot: Snapshot) -> bool:
        """Whether only time went on since it was saved, and not for long."""
        saved = self._saved
        return (
            saved is not None
            and saved.epoch == snapshot.epoch
            and 0 <= snapshot.at - saved.at < KEPT_AGAIN_S
            and all(getattr(saved, name) == getattr(snapshot, name) for name in _SHOWN)
            and [link.state for link in saved.links] == [link.state for link in snapshot.links]
        )

    async def _save(self, snapshot: Snapshot) -> None:
        try:
            async with asyncio.timeout(SAVE_LIMIT_S):
                await self._store.save(snapshot)
        except (StoreError, TimeoutError) as error:
            self._failed("saved", error, SAVE_LIMIT_S)
            # what another process has saved meanwhile is gone on from, before it is replaced
            self.is_unread = self.is_unread or isinstance(error, StoreConflictError)
        else:
            self._saved, self._is_failing = snapshot, False
        finally:
            self._not_before = self._clock.monotonic() + every_s(len(snapshot.pools))

    def _failed(self, what: str, error: Exception, limit_s: float) -> None:
        if not self._is_failing:
            reason = str(error) or f"no answer within {limit_s:g} s"
            log.warning("the last snapshot cannot be %s: %s", what, reason)
        self._is_failing = True


def every_s(pools: int) -> float:
    """The least time between two saves for so many pools, in seconds."""
    return max(KEPT_EVERY_S, pools * KEPT_EVERY_S_PER_POOL)
