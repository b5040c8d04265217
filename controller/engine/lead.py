"""Whether an engine decides for its fleet, and the election of the process that leads it, by a
lease that each process tries to take and renew.

The algorithm is that of client-go (k8s.io/client-go/tools/leaderelection): a process takes the
lease when its record has not changed for its duration, measured by the process's own clock; the
times in the record are never trusted. The election of the Python client
(kubernetes.aio.leaderelection 37.0) does not serve: its LeaseLock cannot create a Lease
(`pretty=True` fails validation); errors of the connection end its loop; it judges expiry by the
wall clock; it gives nothing back at the end; and it has no deadline to check before a write.

A leader that cannot decide, or may not, is of no use while another one could: it gives the lease up
after a while, and then leaves a free one to others for `LEFT_TO_OTHERS_S`. As soon as it can decide
it takes part as before, so that a process without others leads again at once.

A lease does not fence: a process that was stopped believes for a moment that it still leads. So the
right to write is a time (`WriteRight`), counted from before a renewal was sent.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random as _random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, Protocol

from controller.engine.show.findings import Found, found
from controller.model.decision import Decision
from controller.model.ids import PoolKey
from controller.model.memory import Memory
from controller.model.settings import (
    JITTER,
    LONGEST_DURATION_S,
    RELEASED_DURATION_S,
    LeaseRecord,
    LeaseTimes,
    LeaseView,
    SeenLease,
)
from controller.model.snapshot import Role, Severity
from controller.planning.gate import followed
from controller.planning.memory import without_writes
from controller.ports import Clock, Lease, StoreConflictError, StoreError, sleep_unless


class Leadership(Protocol):
    """Whether this process leads its fleet."""

    def may_write(self) -> bool:
        """Whether a write may begin now. It may end with time alone."""

    def view(self) -> LeaseView:
        """The lease for people."""

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """Call back, the last one given: True: this process leads now, False: no longer."""


class Lead:
    """`has_memory`: this engine's memory is the fleet's, since it took over until others lead."""

    def __init__(self, leadership: Leadership | None, *, writes: bool) -> None:
        """Without a `leadership` this process leads always, or never if it never `writes`."""
        self._leadership = leadership if writes else None
        self._writes = writes
        self.has_memory = writes and leadership is None

    def begin(self, on_change: Callable[[bool], None], *, has_led: bool = False) -> None:
        """Call back when the leader changes; now if we lead, unless it `has_led` so."""
        if self._leadership is not None:
            self._leadership.on_change(on_change)
        if self.lacks_memory():
            self.has_memory = has_led
            if not has_led:
                on_change(True)

    def is_elected(self) -> bool:
        """Whether this process may write, apart from its memory."""
        return self._writes if self._leadership is None else self._leadership.may_write()

    def may_write(self) -> bool:
        """Whether writes may begin now: to the cluster, and of memory."""
        return self.has_memory and self.is_elected()

    def lacks_memory(self) -> bool:
        """Whether this process is elected, and has not taken over the fleet's memory."""
        return self.is_elected() and not self.has_memory

    @property
    def role(self) -> Role:
        """What this process may do now."""
        if self._leadership is None:
            return Role.ACTIVE if self._writes else Role.READ_ONLY
        return Role.LEADER if self.may_write() else Role.FOLLOWER

    def view(self) -> LeaseView | None:
        """The lease for people; None without an election."""
        return None if self._leadership is None else self._leadership.view()

    def to_plan_with(self, memory: Memory) -> Memory:
        """The memory for a plan: without the requests of a process that writes nothing."""
        return memory if self.has_memory else without_writes(memory)

    def held(self, decisions: Mapping[PoolKey, Decision]) -> Mapping[PoolKey, Decision]:
        """The decisions as they are; of a follower, all are held."""
        lease = self.view()
        if self.has_memory or lease is None:
            return decisions
        return followed(decisions, "" if lease.is_ours else lease.holder)

    def findings(self) -> Iterator[Found]:
        """What is wrong with the lease."""
        view = self.view()
        if view is not None and view.problem:
            severity = Severity.WARNING if self.may_write() else None
            yield found("lease", "lease", severity=severity, why=view.problem)


def steady_s() -> float:
    """Seconds that never go back and do not stand still while the machine is suspended."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class WriteRight:
    """Asked right before each write; a process that was stopped loses it by time alone."""

    def __init__(self, steady: Callable[[], float] = steady_s) -> None:
        self.steady = steady
        self._until = -math.inf

    def extend(self, until: float) -> None:
        """It lasts until this time of `steady`."""
        self._until = until

    def end(self) -> None:
        """It has ended."""
        self._until = -math.inf

    def may_write(self) -> bool:
        """Whether a write may begin now."""
        return self.steady() < self._until


log = logging.getLogger(__name__)

RELEASE_S: Final = 1.0
"""How long the end of a process waits to give the lease back; without it others wait longer."""
UNABLE_LEAST_S: Final = 5.0
UNABLE_INTERVALS: Final = 3
LEFT_TO_OTHERS_S: Final = 30.0
"""How long a lease must have been free before a process takes it that can decide nothing."""
AGAIN: Final = 0.1
"""After a renewal that failed, the share of `retry_s` until the next try, while we may still write.
"""


class Elector:
    """The `Leadership` by a lease. `run` must run beside the engine; `release` ends it.

    `identity` names this process and no other, also no later one. `interval_s` is the time between
    two ticks of the engine. `random` returns a number from 0 to 1.
    """

    def __init__(
        self,
        lease: Lease,
        identity: str,
        times: LeaseTimes,
        right: WriteRight,
        clock: Clock,
        *,
        interval_s: float = 1.0,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._lease = lease
        self._identity = identity
        self._times = times
        self._right = right
        self._clock = clock
        self._patience_s = max(UNABLE_LEAST_S, UNABLE_INTERVALS * interval_s)
        self._random = random
        self._mine: SeenLease | None = None
        self._other: SeenLease | None = None
        self._free_at = -math.inf
        self._free_since: float | None = None
        self._led_since = 0.0
        self._unable_since: float | None = None
        self._unable = ""
        self._acquired_at = 0.0
        self._holder = ""
        self._problem = ""
        self._leads = False
        self._has_failed = False
        self._changed = asyncio.Event()
        self._callback: Callable[[bool], None] = lambda *_: None

    def may_write(self) -> bool:
        """Whether a write may begin now."""
        return self._right.may_write()

    def view(self) -> LeaseView:
        """The lease for people."""
        return LeaseView(
            name=self._lease.name,
            holder=self._holder,
            is_ours=self._leads,
            problem=self._problem,
        )

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """Call back when the lease was taken or lost."""
        self._callback = callback

    def unable(self, why: str) -> None:
        """Told after each tick: why this process cannot decide or write at all, or empty."""
        self._unable = why
        if not why and self._unable_since is not None:
            self._unable_since = None
            self._changed.set()
        elif why and self._unable_since is None:
            self._unable_since = self._right.steady()

    async def run(self) -> None:
        """Take the lease when it is free and renew it, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            watching: asyncio.Task[None] | None = None
            while True:
                await self._attempt()
                if self._leads and watching is not None:
                    watching.cancel()
                    watching = None
                elif not self._leads and watching is None:
                    watching = tasks.create_task(self._lease.watch(self._changed.set))
                await self._wait()

    async def release(self) -> None:
        """Give back our lease within `RELEASE_S`, after `run` and all writes have ended."""
        self._right.end()
        if not self._leads:
            return
        self._leads, self._holder = False, ""
        try:
            async with asyncio.timeout(RELEASE_S):
                await self._give_back()
        except (StoreError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            log.warning("the lease was not given back; others wait until it ends: %s", reason)
        else:
            log.info("lease released", extra={"lease": self._lease.name})

    async def _attempt(self) -> None:
        """One try to take or to renew the lease; a failure is the `problem` of the view."""
        # to take it is to read and to write; while a right lasts, a slow try must not use it up
        requests = 1 if self._right.may_write() else 2
        try:
            async with asyncio.timeout(requests * self._times.request_s):
                await self._take_or_renew()
        except TimeoutError:
            self._failed(f"{self._lease.name}: no answer in time")
        except StoreError as error:
            self._failed(str(error))
        else:
            if self._problem:
                log.info("the lease can be read and written again")
            self._has_failed, self._problem = False, ""

    async def _take_or_renew(self) -> None:
        if self._leads and self._is_of_no_use():
            await self._give_up()
            return
        if self._mine is not None and not self._has_failed:
            with suppress(StoreConflictError):
                await self._write(self._mine)
                return
        self._mine = None
        found = await self._lease.read()
        self._look(found)
        if is_held := self._right.steady() < self._free_at:
            self._right.end()  # another process holds the lease
        is_ours = found is not None and found.holder == self._identity
        # after our right had ended, another process may have led and given the lease back
        if self._leads and not (is_ours or self._right.may_write()):
            self._leads = False
            lost = {"lease": self._lease.name, "holder": self._holder}
            log.warning("no longer leading", extra=lost)
            self._callback(False)
        if is_held:
            return
        if not self._leads and self._leaves_it_to_others():
            return
        with suppress(StoreConflictError):  # another process was first
            await self._write(found)

    def _is_of_no_use(self) -> bool:
        """Whether this leader could not decide for so long that another process should lead."""
        if self._unable_since is None:
            return False
        since = max(self._unable_since, self._led_since)
        return self._right.steady() - since >= self._patience_s

    def _leaves_it_to_others(self) -> bool:
        """Whether a free lease is not taken yet, because others may be able to decide."""
        now = self._right.steady()
        if self._free_since is None:
            self._free_since = now
        return self._unable_since is not None and now - self._free_since < LEFT_TO_OTHERS_S

    async def _give_up(self) -> None:
        """Give the lease back for others; without anything to decide by, nothing is under way."""
        self._right.end()
        await self._give_back()
        self._mine, self._holder, self._leads = None, "", False
        self._free_since = self._right.steady()
        log.warning("the lease is given up: %s", self._unable, extra={"lease": self._lease.name})
        self._callback(False)

    def _look(self, found: SeenLease | None) -> None:
        """Learn from when on the lease may be taken.

        A lease that vanished or was damaged frees nothing: its holder may believe in it until its
        time is over.
        """
        if found is None or found.holder == self._identity:
            if found is not None:
                self._free_at = -math.inf
            return
        if found.is_released:
            self._holder, self._other, self._free_at = "", found, -math.inf
        elif found.holder and not found.is_same_as(self._other):
            # a holder with longer times than ours counts on them
            if found.holder != self._holder:
                log.info("following", extra={"lease": self._lease.name, "holder": found.holder})
            duration_s = min(max(self._times.duration_s, found.duration_s), LONGEST_DURATION_S)
            self._holder, self._other = found.holder, found
            self._free_at = self._right.steady() + duration_s
            self._free_since = None

    async def _write(self, replaces: SeenLease | None) -> None:
        """Take the lease, or renew it. The right counts from before the request was sent."""
        began, now = self._right.steady(), self._clock.now()
        is_ours = replaces is not None and replaces.holder == self._identity
        if not is_ours:
            self._acquired_at = now
        before = 0 if replaces is None else replaces.transitions
        record = LeaseRecord(
            holder=self._identity,
            duration_s=self._times.duration_s,
            acquired_at=self._acquired_at,
            renewed_at=now,
            transitions=before if is_ours or replaces is None else before + 1,
        )
        self._mine = await self._lease.write(record, replaces=replaces)
        self._holder, self._other, self._free_at = self._identity, None, -math.inf
        self._right.extend(began + self._times.right_s)
        if not self._leads:
            self._leads, self._led_since, self._free_since = True, began, None
            log.info("leading", extra={"lease": self._lease.name, "holder": self._identity})
            self._callback(True)

    def _failed(self, reason: str) -> None:
        if reason != self._problem:
            log.warning("the lease cannot be kept: %s", reason)
        self._has_failed, self._problem = True, reason

    async def _wait(self) -> None:
        """Wait for the next renewal; a follower also for a change, or for the end of the lease."""
        pause_s = self._times.retry_s * (1.0 + (JITTER - 1.0) * self._random())
        if self._leads:
            is_pressing = self._has_failed and self.may_write()
            await self._clock.sleep(pause_s * AGAIN if is_pressing else pause_s)
            return
        left_s = self._free_at - self._right.steady()
        if not self._has_failed and left_s > 0:
            pause_s = min(pause_s, left_s)
        await sleep_unless(self._changed, self._clock, pause_s)
        self._changed.clear()

    async def _give_back(self) -> None:
        ours = self._mine
        if ours is None:
            ours = await self._lease.read()
        for _ in range(2):
            if ours is None or ours.holder != self._identity:
                return
            now = self._clock.now()
            record = LeaseRecord(
                holder="",
                duration_s=RELEASED_DURATION_S,
                acquired_at=now,
                renewed_at=now,
                transitions=ours.transitions,
            )
            try:
                await self._lease.write(record, replaces=ours)
            except StoreConflictError:
                # the answer to our last renewal was lost, or another process has the lease
                ours = await self._lease.read()
            else:
                return
