"""Pools grow only into physically free room: a replica that leaves, or that a rollout has beyond
the pool's size, counts until it is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import lcm
from operator import attrgetter
from typing import Final, NamedTuple

from controller.model.observation import PodPhase
from controller.model.readings import last_known
from controller.planning.inputs import PoolInput
from controller.planning.share.bids import GRANTED, Turns
from controller.planning.share.units import Field, Uses
from controller.planning.values import ReplicaUses, Row

_NOT_ACTIVE: Final = frozenset({PodPhase.TERMINATING, PodPhase.FAILED})


class Occupancy(NamedTuple):
    """A pool's replicas: its present size, its target, and how many more there are for now."""

    current: int
    target: int
    leaving: int

    @property
    def now(self) -> int:
        """The replicas that take room now."""
        return self.current + self.leaving

    @property
    def most(self) -> int:
        """The most replicas that take room on the way to the target."""
        return max(self.current, self.target) + self.leaving


class Grown(NamedTuple):
    """The size that a growing pool may have now, and the name of the row that refused more."""

    replicas: int
    refused_by: str


class Room(NamedTuple):
    """The use of physical room by all pools.

    - `rows`: the room's rows. `needs`, `occupancy`: by pool number; `needs` are what one replica
      takes of each row, by the row's index.
    - `now`, `most`: by row, what the pools use now, and the most on the way to their targets.
    - `grown`: by pool number, the growing pools that cannot have their target yet.
    """

    rows: tuple[Row, ...]
    needs: list[Uses]
    occupancy: list[Occupancy | None]
    now: list[int]
    most: list[int]
    grown: Mapping[int, Grown]


def occupancy_of(given: PoolInput, target: int) -> Occupancy:
    """The pool's use of room; a pod beyond its size takes it like a terminating one."""
    pods = last_known(given.seen.pods)
    if pods is None:
        return Occupancy(given.current, target, 0)
    active = sum(pod.phase not in _NOT_ACTIVE for pod in pods.items)
    leaving = max(pods.terminating, 0) + max(active - given.current, 0)
    return Occupancy(given.current, target, leaving)


def room_of(
    field: Field,
    rows: Sequence[Row],
    uses: Sequence[ReplicaUses],
    changed: Mapping[int, Occupancy | None],
    kept: Room | None,
) -> Room:
    """The room after these changes of occupancy since `kept`; without `kept`, `changed` has all
    pools. `rows` are those of physical room for pods anywhere; `uses` are by pool number.
    """
    rows = tuple(sorted((row for row in rows if "@" not in row.name), key=attrgetter("name")))
    if kept is None or kept.rows != rows:
        if kept is not None:
            changed = {**dict(enumerate(kept.occupancy)), **changed}
        nothing = [0] * len(rows)
        kept = Room(rows, [()] * len(uses), [None] * len(uses), nothing, nothing, {})
    now, most = list(kept.now), list(kept.most)
    needs, occupancy = list(kept.needs), list(kept.occupancy)
    is_same = True
    for number, after in changed.items():
        amounts, before = uses[number].everywhere, occupancy[number]
        takes = tuple(
            [
                (row, int(amounts[each.name]))
                for row, each in enumerate(rows)
                if each.name in amounts
            ]
        )
        if after == before and takes == needs[number]:
            continue
        for each, taken, sign in ((before, needs[number], -1), (after, takes, 1)):
            if each is not None:
                for row, use in taken:
                    now[row] += sign * use * each.now
                    most[row] += sign * use * each.most
        is_same, occupancy[number], needs[number] = False, after, takes
    if is_same:
        return kept
    room = Room(rows, needs, occupancy, now, most, {})
    fits = all(used <= row.capacity for used, row in zip(most, rows, strict=True))
    return room if fits else room._replace(grown=_grow(field, room))


def _grow(field: Field, room: Room) -> dict[int, Grown]:
    """Growing pools that cannot have their target yet: room by tier, then by shares."""
    capacity, needs = [int(row.capacity) for row in room.rows], room.needs
    left = [most - used for most, used in zip(capacity, room.now, strict=True)]
    have = [0 if each is None else each.current for each in room.occupancy]
    refused_by = [GRANTED] * len(have)
    unit = lcm(*filter(None, capacity))
    parts = [(row, unit // most) for row, most in enumerate(capacity) if most]
    share_of = {
        each: [dict(each).get(row, 0) * part for row, part in parts] or [1] for each in set(needs)
    }
    growing: dict[int, list[int]] = {}
    for pool, each in enumerate(room.occupancy):
        if each is not None and each.target > each.current and needs[pool]:
            refused_by[pool] = next((row for row, use in needs[pool] if use > left[row]), GRANTED)
            if refused_by[pool] == GRANTED:
                growing.setdefault(field.tenant_of[pool], []).append(pool)

    def give(pool: int) -> bool:
        for row, use in needs[pool]:
            if use > left[row]:
                refused_by[pool] = row
                return False
        for row, use in needs[pool]:
            left[row] -= use
        have[pool] += 1
        return True

    def goal(pool: int) -> int:
        """Its target, or so many that the last one is refused."""
        each, most = room.occupancy[pool], min(left[row] // use for row, use in needs[pool])
        return 0 if each is None else min(each.target, each.current + most + 1)

    for tier in field.tiers:
        turns = Turns(field, refused_by)
        for tenant in tier:
            if pools := growing.get(tenant):
                keys = sorted(
                    key for pool in pools for key in field.keys(pool, have[pool], goal(pool))
                )
                shares = {pool: share_of[needs[pool]] for pool in field.pools_of[tenant]}
                turns.join(tenant, keys, 0, shares, have)
        turns.deal(give)
    return {
        pool: Grown(have[pool], room.rows[row].name)
        for pool, row in enumerate(refused_by)
        if row != GRANTED
    }
