"""Carries out what a plan says of a pool's workers: their orders, and the marks on their pods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Final, NamedTuple

from controller.engine.findings import Found
from controller.model.decision import Drain, Outcome, OutcomeKind
from controller.model.fleet import Pool
from controller.model.ids import PoolKey
from controller.model.observation import DELETED_FIRST, PodPhase
from controller.model.readings import Fresh, last_known
from controller.model.snapshot import Severity
from controller.ports import Actuator, StoreConflictError, StoreError, WorkerSource, Workloads

log = logging.getLogger(__name__)

MARKS_AT_ONCE: Final = 20
"""The pool is decided again after so many, because it may need to grow meanwhile."""


class Mark(NamedTuple):
    """A pod that needs another deletion cost: `cost`, or none."""

    pod: str
    cost: int | None


class Crews:
    """Tells the workers of pools what the plan says, and marks the pods that must go first.

    It compares with what is observed, so what has failed is tried again at the next tick.
    """

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
            text = f"what they do cannot be read, so their pools are not scaled down: {problem}"
            yield Severity.WARNING, "workers", "workers", text
        for pool, problem in self._problems.items():
            yield Severity.WARNING, pool, "orders", f"its workers cannot be told: {problem}"
