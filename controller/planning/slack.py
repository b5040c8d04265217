"""Whether a few pools may be decided by themselves, though pools share what is scarce."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction

from controller.model.decision import Decision
from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.observation import Observation
from controller.planning.allocation import SharingError
from controller.planning.allocation.exact import exact
from controller.planning.scarcity import Scarcity


class Slack:
    """What a plan of the whole fleet has left of each row.

    Where pools fit in with all that they could ever want, no row refuses them anything, and a plan
    of them alone comes out as one of the whole fleet would: sharing has nothing to decide.
    """

    def __init__(
        self,
        fleet: Fleet,
        observation: Observation,
        decisions: Mapping[PoolKey, Decision],
        now: float,
    ) -> None:
        """`observation` is that of the whole fleet, `decisions` are what was made of it."""
        self._held = {
            pool.key: _held(decisions.get(pool.key), observation.under_way.get(pool.key, 0))
            for pool in fleet.pools
        }
        self._aside: set[PoolKey] = set()
        self._left: dict[str, int | Fraction] | None
        try:
            self._scarcity = Scarcity(fleet, observation, now)
            self._left = self._after(fleet)
        except SharingError:
            # what cannot be shared by is nobody's alone: the whole plan says what is wrong
            self._left = None

    def take(self, pools: Collection[Pool]) -> bool:
        """Set aside all that these pools may grow by. False, and nothing is set aside, where that
        is not there or nobody can say, as with classes of nodes.
        """
        new = [pool for pool in pools if pool.key not in self._aside]
        if self._left is None or any(pool.nodes for pool in new):
            return False
        left = dict(self._left)
        try:
            for pool in new:
                self._draw(left, pool, max(0, _most(pool) - self._held[pool.key]))
        except SharingError:
            return False
        if any(amount < 0 for amount in left.values()):
            return False
        self._left = left
        self._aside.update(pool.key for pool in new)
        return True

    def _after(self, fleet: Fleet) -> dict[str, int | Fraction]:
        left = {row.name: exact(row.capacity, row.name) for row in self._scarcity.rows.values()}
        for pool in fleet.pools:
            if replicas := self._held[pool.key]:
                self._draw(left, pool, replicas)
        return left

    def _draw(self, left: dict[str, int | Fraction], pool: Pool, replicas: int) -> None:
        for row, use in self._scarcity.uses(pool).items():
            left[row] -= exact(use, pool.key) * replicas


def _held(decision: Decision | None, being_written: int) -> int:
    """The most replicas that a pool has or is about to have."""
    if decision is None:
        return max(being_written, 0)
    numbers = (decision.current, decision.target, decision.next)
    return max(being_written, *(number or 0 for number in numbers))


def _most(pool: Pool) -> int:
    """The most replicas that the pool may come to have, in its widest schedule."""
    named = [number for each in pool.schedules for number in (each.min, each.max) if number]
    return max(pool.min, pool.max, *named)
