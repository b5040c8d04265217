"""Tells workers what they may use: their pool's settings, and shares of the models' limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from controller.engine.findings import Found
from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.readings import last_known
from controller.model.snapshot import Severity
from controller.model.worker_messages import PoolAllowance, WorkerState
from controller.planning.provider_shares import pool_terms, provider_shares
from controller.ports import AllowanceStore, Clock, StoreError, WorkerSource

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
        is_idle = self._task is None or self._task.done()
        if is_idle and any(self._told.get(pool) != due for pool, due in self._due.items()):
            self._task = tasks.create_task(self._tell(), name="allowances")

    def findings(self) -> Iterator[Found]:
        """Why workers cannot be told."""
        if self._problem:
            text = f"workers cannot be told their share of the models' limits: {self._problem}"
            yield Severity.WARNING, "workers", "allowances", text

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
