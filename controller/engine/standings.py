"""Since when each pool stands as it does: its condition, and its bound with its gate."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Condition, Standing
from controller.model.ids import PoolKey
from controller.model.memory import Memory
from controller.model.snapshot import PoolView, condition_of

LEFT_FOR_S: Final = 120.0
"""After a restart, a condition or a finding that is seen again within this time goes on."""
_UNSEEN: Final = (Condition.BLIND, Condition.STALE)


class Standings:
    """Remembers how each pool stands, from one view of it to the next. `changes` counts how often
    one stood otherwise than before.
    """

    def __init__(self) -> None:
        self._known: dict[PoolKey, Standing] = {}
        self._left: dict[PoolKey, Standing] = {}
        self._left_until = 0.0
        self.changes = 0

    def begin_with(self, left: Memory, now: float) -> None:
        """Go on from what the process before this one has saved. A time that is after `now` (Unix
        seconds) is no time to go on from.
        """
        for key, pool in left.pools.items():
            standing = pool.standing
            if standing is not None and max(standing.since, standing.bound_since or 0.0) <= now:
                self._known[key] = self._left[key] = standing
        self._left_until = now + LEFT_FOR_S

    def in_memory(self, memory: Memory) -> Memory:
        """The memory, with how its pools stand: what is saved for the next process."""
        known = self._known
        pools = {key: replace(pool, standing=known.get(key)) for key, pool in memory.pools.items()}
        return replace(memory, pools=pools)

    def shift(self, step_s: float) -> None:
        """The clock was set by so much: ages stay what they were."""
        self._known = {key: each.shifted(step_s) for key, each in self._known.items()}
        self._left = {key: each.shifted(step_s) for key, each in self._left.items()}
        self._left_until += step_s

    def of(self, view: PoolView, now: float) -> Standing:
        """How a pool stands at `now` (Unix seconds), and since when."""
        condition, decision = condition_of(view), view.decision
        bound, gate = (None, None) if decision is None else (decision.bound, decision.gate)
        found = Standing(
            condition=condition,
            since=now,
            bound=bound,
            gate=gate,
            bound_since=None if bound is None else now,
        )
        known = self._known.get(view.key)
        # of a new process, the first readings may be missing: then it stands again as it did
        if now > self._left_until:
            self._left.clear()
        left = self._left.get(view.key)
        if left is not None and condition not in (left.condition, *_UNSEEN):
            left = None
            del self._left[view.key]
        for each in (known, left):
            if each is not None and each.condition is condition:
                found = replace(found, since=min(found.since, each.since))
            if each is not None and (each.bound, each.gate) == (bound, gate):
                found = replace(found, bound_since=each.bound_since)
        if known == found:
            return known
        self.changes += 1
        self._known[view.key] = found
        return found


def to_plan_with(memory: Memory) -> Memory:
    """The memory without what is saved beside it for the next process: nothing is planned by it."""
    pools = {key: replace(pool, standing=None, queues=()) for key, pool in memory.pools.items()}
    return replace(memory, pools=pools)
