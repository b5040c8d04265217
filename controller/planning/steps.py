"""Step 4: from what a pool has towards its target, without taking away work or room that is in use.

Down goes only what is idle; what a target takes from busy replicas is drained, and leaves when it
is idle. Up goes only into room that is physically free: a place counts as taken until whoever is
leaving it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import ClassVar

import msgspec

from controller.model.decision import Gate
from controller.model.value import Value
from controller.planning.allocation import Amount, AmountError, Row
from controller.planning.allocation.fill import fill
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.members import members_of
from controller.planning.allocation.rows import GRANTED, Rows


class Position(Value, gc=False):
    """One pool: where it is and where it should be, in replicas.

    `busy` replicas work, `terminating` ones are on their way out beside `current`. `too_young` idle
    ones have not had their minimum runtime and are not taken back for sharing. `max_up` is the most
    to add at once. A replica takes `uses` of the rows of physical room.
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
    uses: Mapping[str, Amount] = msgspec.field(default_factory=dict)
    flavors: ClassVar[tuple[Mapping[str, Amount], ...]] = ()  # any node will do to stand on


class Step(Value, gc=False):
    """What to do now: `next` replicas, so many added or removed, and busy ones to let finish.

    `gate` is why next is not the target; None where it is, or where `max_up` is the reason.
    """

    next: int
    add: int = 0
    remove: int = 0
    drain: int = 0
    gate: Gate | None = None
    limited_by: str = ""


def step(
    positions: Iterable[Position],
    room: Iterable[Row] = (),
    tenant_weights: Mapping[str, Amount] | None = None,
) -> dict[str, Step]:
    """One step for each pool, by pool in the order of their names. Room goes to the highest tier
    first, there to the tenant, and its pool, that runs least per weight. Raises SharingError.
    """
    ordered = sorted(positions, key=attrgetter("pool"))
    rows = sorted(room, key=attrgetter("name"))
    goals = [_goal(position) for position in ordered]
    growing = _grow(ordered, rows, goals, tenant_weights or {})
    return {
        position.pool: _down(position)
        if position.target < position.current
        else _up(position, growing, pool, rows)
        for pool, position in enumerate(ordered)
    }


def _grow(
    positions: Sequence[Position],
    rows: Sequence[Row],
    goals: Sequence[int],
    tenant_weights: Mapping[str, Amount],
) -> Filling:
    """Hand out the room that nobody stands in."""
    standing = [position.current + position.terminating for position in positions]
    wants = [
        there + goal - position.current if goal > position.current else there
        for there, goal, position in zip(standing, goals, positions, strict=True)
    ]
    filling = Filling(members_of(positions, tenant_weights), Rows(positions, rows, wants))
    filling.have = [position.current for position in positions]
    filling.rows.seat_all(standing)
    tiers: dict[int, list[int]] = {}
    for pool, position in enumerate(positions):
        if goals[pool] > position.current:
            tiers.setdefault(position.tier, []).append(pool)
    for _, pools in sorted(tiers.items(), reverse=True):
        fill(filling, pools, goals, strict=True)
    return filling


def _goal(position: Position) -> int:
    current, target, max_up = position.current, position.target, position.max_up
    if (
        current < 0
        or target < 0
        or position.busy < 0
        or position.terminating < 0
        or position.too_young < 0
        or (max_up is not None and max_up < 0)
    ):
        raise AmountError(position.pool, "replicas cannot be below zero")
    return target if max_up is None else min(target, current + max_up)


def _down(position: Position) -> Step:
    surplus = position.current - position.target
    idle = max(position.current - position.busy, 0)
    remove = min(surplus, max(idle - position.too_young, 0))
    gate = None
    if remove < surplus:
        gate = Gate.BUSY if idle < surplus else Gate.MINIMUM_RUNTIME
    return Step(
        next=position.current - remove,
        remove=remove,
        drain=min(surplus - remove, position.busy),
        gate=gate,
    )


def _up(position: Position, growing: Filling, pool: int, rows: Sequence[Row]) -> Step:
    following, refused = growing.have[pool], growing.refused_by[pool]
    return Step(
        next=following,
        add=following - position.current,
        gate=None if refused == GRANTED else Gate.ROOM,
        limited_by="" if refused == GRANTED else rows[refused].name,
    )
