"""Tells workers what a plan says of them and marks their pods, and tells them what they may use."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from controller.engine.show.findings import Found, found
from controller.engine.supervise import is_under_way
from controller.model.decision import Drain, Outcome, OutcomeKind
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.observation import DELETED_FIRST, PodPhase
from controller.model.readings import Fresh, last_known
from controller.model.worker_messages import PoolAllowance, WorkerState
from controller.planning.provider_shares import pool_terms, provider_shares
from controller.ports import (
    Actuator,
    AllowanceStore,
    Clock,
    StoreConflictError,
    StoreError,
    WorkerSource,
    Workloads,
)

log = logging.getLogger(__name__)

MARKS_AT_ONCE: Final = 20
"""The pool is decided again after so many, because it may need to grow meanwhile."""


class Mark(NamedTuple):
    """A pod that needs another deletion cost: `cost`, or none."""

    pod: str
    cost: int | None


class Crews:
    """Tells workers the plan, and marks pods to go; what failed is seen and tried again."""

    def __init__(self, source: WorkerSource, workloads: Workloads) -> None:
        self._source = source
        self._workloads = workloads
        self._marked: dict[PoolKey, set[Mark]] = {}
        self._problems: dict[PoolKey, str] = {}

    def is_untold(self, pool: Pool, drain: Drain) -> bool:
        """Whether the workers were not told yet, or it is not known who has heard it."""
        workers = self._source.read(pool.key)
        if not isinstance(workers, Fresh):
            return False
        known = workers.value
        return (
            not known.revision
            or known.orders != drain.orders
            or self._source.is_unconfirmed(pool.key)
        )

    def marks(self, pool: Pool, drain: Drain) -> list[Mark]:
        """The marks that are still to be made or taken away."""
        pods = last_known(self._workloads.pods(pool))
        if pods is None or self._workloads.unmarkable(pool):
            return []
        due = {
            Mark(pod.name, DELETED_FIRST if must_go else None)
            for pod in pods.items
            if pod.phase is not PodPhase.TERMINATING
            if (must_go := pod.name in drain.removable) != (pod.deletion_cost == DELETED_FIRST)
        }
        # those that the watch has reported since are forgotten
        made = self._marked[pool.key] = self._marked.get(pool.key, set()) & due
        return sorted(due - made)

    async def tell(self, pool: Pool, drain: Drain) -> None:
        """Store the orders. A failure is a finding, and tried again."""
        if not self.is_untold(pool, drain):
            return
        try:
            await self._source.tell(pool.key, drain.orders)
        except StoreConflictError:
            return  # what the other has written is seen, and planned with, at the next tick
        except StoreError as error:
            self._problems[pool.key] = str(error)
            return
        self._problems.pop(pool.key, None)

    async def mark(self, actuator: Actuator, pool: Pool, drain: Drain) -> None:
        """Make some of the marks that are due. What is left, or has failed, is due again."""
        async with asyncio.TaskGroup() as tasks:
            for mark in self.marks(pool, drain)[:MARKS_AT_ONCE]:
                tasks.create_task(self._make(actuator, pool, mark))

    async def _make(self, actuator: Actuator, pool: Pool, mark: Mark) -> None:
        try:
            outcome = await actuator.mark(pool, mark.pod, mark.cost)
        except Exception as error:  # noqa: BLE001  one mark's error must not stop the others
            outcome = Outcome(kind=OutcomeKind.FAILED, detail=f"{type(error).__name__}: {error}")
        if outcome.kind is OutcomeKind.APPLIED:
            self._marked[pool.key].add(mark)
        elif outcome.kind is not OutcomeKind.GONE:
            extra = {"pool": pool.key, "pod": mark.pod, "detail": outcome.detail}
            log.warning("a pod was not marked", extra=extra)

    def findings(self) -> Iterator[Found]:
        """What workers cannot say, or cannot be told."""
        if problem := self._source.problem():
            yield found("workers", "workers", why=problem)
        for pool, problem in self._problems.items():
            yield found("orders", pool, why=problem)


TURN_S: Final = 10.0
"""Where there are fewer parallel calls than workers, others get them after so many seconds."""


class Allotment:
    """Divides the models' limits among the workers that there are, and stores what has changed.

    A pool without workers is told what its first one may use, so that it finds it when it starts;
    unless it uses no models, or it is not known whether there are workers.
    """

    def __init__(
        self, fleet: Fleet, workers: WorkerSource, store: AllowanceStore, clock: Clock
    ) -> None:
        self._fleet, self._workers, self._store, self._clock = fleet, workers, store, clock
        self._terms = pool_terms(fleet)
        self._takes_turns = any(
            model.limits is not None and model.limits.parallel is not None for model in fleet.models
        )
        self._seen: object = None
        self._due: dict[PoolKey, PoolAllowance] = {}
        self._told: dict[PoolKey, PoolAllowance] = {}
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    def begin(self, tasks: asyncio.TaskGroup, sizes: Mapping[PoolKey, int]) -> None:
        """Divide anew if workers have come, gone, or need something else, and tell what changed.
        `sizes` are the replicas that pools should have: some of their workers may still be coming.
        """
        read = {pool.key: self._states(pool.key) for pool in self._fleet.pools}
        seen = {pool: states for pool, states in read.items() if states is not None}
        # those that stand by draw on the limits of the pool that they work for
        for pool in self._fleet.pools:
            for state in (read.get(pool.key) or ()) if pool.serves else ():
                if (of := PoolKey(state.works_for)) in seen:
                    seen[of] = (*seen[of], state)
        coming = {
            pool: sizes.get(pool, 0) - len(states)
            for pool, states in seen.items()
            if sizes.get(pool, 0) > len(states)
        }
        turn = int(self._clock.now() // TURN_S) if self._takes_turns else 0
        if (seen, coming, turn) != self._seen:
            self._seen = seen, coming, turn
            shares = provider_shares(self._fleet, seen, turn, coming)
            due = {
                pool: PoolAllowance(terms=self._terms[pool], shares=shares[pool])
                # those with workers first
                for pool in sorted(seen, key=lambda pool: not seen[pool])
            }
            self._due = {
                pool: each for pool, each in due.items() if seen[pool] or each.terms.models
            }
        is_idle = not is_under_way(self._task)
        if is_idle and any(self._told.get(pool) != due for pool, due in self._due.items()):
            self._task = tasks.create_task(self._tell(), name="allowances")

    def findings(self) -> Iterator[Found]:
        """Why workers cannot be told."""
        if self._problem:
            yield found("allowances", "workers", why=self._problem)

    def _states(self, pool: PoolKey) -> tuple[WorkerState, ...] | None:
        """The pool's workers; None if it is not known whether there are any."""
        reading = self._workers.read(pool)
        known = None if reading is None else last_known(reading)
        return None if known is None else known.states

    async def _tell(self) -> None:
        for pool, allowance in self._due.items():
            if self._told.get(pool) == allowance:
                continue
            try:
                await self._store.allow(pool, allowance)
            except StoreError as error:
                self._problem = str(error)
                return  # tried again at the next tick
            self._told[pool] = allowance
        self._problem = ""
