"""One step towards targets that are given: idle replicas go, busy ones finish, and pools grow only
into room that is physically free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from support.sharing import Amount


class Position(NamedTuple):
    """A pool on its way: `busy` of its replicas work, `terminating` ones still take room beside
    `current`, `too_young` idle ones are not taken back yet. It adds at most `max_up` at a time.
    """

    pool: str
    tenant: str
    current: int
    target: int
    busy: int = 0
    terminating: int = 0
    too_young: int = 0
    max_up: int | None = None
    tier: int = 0
    weight: Amount = 1


class Step(NamedTuple):
    """The size to set now, what is added or removed for it, and how many busy replicas finish."""

    next: int
    add: int = 0
    remove: int = 0
    drain: int = 0


def step(
    positions: Sequence[Position], room: int, tenant_weights: Mapping[str, Amount] | None = None
) -> dict[str, Step]:
    """One step for each pool, where every replica takes one of `room` places."""
    steps = {one.pool: _down(one) for one in positions if one.target <= one.current}
    growing = [one for one in positions if one.target > one.current]
    added = _up(
        growing,
        room - sum(one.current + one.terminating for one in positions),
        positions,
        tenant_weights or {},
    )
    for one in growing:
        steps[one.pool] = Step(one.current + added[one.pool], add=added[one.pool])
    return steps


def _down(one: Position) -> Step:
    surplus, idle = one.current - one.target, max(one.current - one.busy, 0)
    remove = min(surplus, max(idle - one.too_young, 0))
    return Step(one.current - remove, remove=remove, drain=max(surplus - idle, 0))


def _up(
    growing: Sequence[Position],
    free: int,
    positions: Sequence[Position],
    weights: Mapping[str, Amount],
) -> dict[str, int]:
    """How many replicas each growing pool adds: one place after the other, to the highest tier
    first, there to the tenant that runs least per weight, and to its pool that does.
    """
    added = {one.pool: 0 for one in growing}

    def size(one: Position) -> int:
        return one.current + added.get(one.pool, 0)

    def need(one: Position) -> tuple[int, Fraction, str, Fraction, str]:
        ran = sum(size(each) for each in positions if each.tenant == one.tenant)
        return (
            -one.tier,
            Fraction(ran) / Fraction(weights.get(one.tenant, 1)),
            one.tenant,
            Fraction(size(one)) / Fraction(one.weight),
            one.pool,
        )

    for _ in range(max(free, 0)):
        waiting = [
            one
            for one in growing
            if size(one) < one.target and (one.max_up is None or added[one.pool] < one.max_up)
        ]
        if not waiting:
            break
        added[min(waiting, key=need).pool] += 1
    return added
