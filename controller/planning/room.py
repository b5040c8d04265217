"""Pools grow only into physically free room: a replica that leaves, or that a rollout has beyond
the pool's size, counts until it is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controller.planning.allocation.field import Field
from controller.planning.allocation.fill import fill
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.rows import GRANTED, Rows
from controller.planning.allocation.values import Row
from controller.planning.share.share import Shared


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

    - `rows`: the room's rows, as indexes of the division's rows.
    - `now`, `most`: by row, the units that the pools use now, and the most they may use on the way
      to their targets.
    - `occupancy`: by pool number. `grown`: the growing pools that cannot have their target yet.
    """

    shared: Shared
    rows: frozenset[int]
    now: dict[int, int]
    most: dict[int, int]
    occupancy: list[Occupancy | None]
    grown: Mapping[int, Grown]


def room_of(
    field: Field,
    shared: Shared,
    room: Sequence[Row],
    changed: Mapping[int, Occupancy | None],
    kept: Room | None,
) -> Room:
    """The room after these changes of occupancy since `kept`; without `kept`, `changed` has all
    pools. `room` are the rows of physical room.
    """
    if kept is not None and kept.shared.tariff is shared.tariff and kept.shared.rows == shared.rows:
        profile_before = kept.shared.profile_of
        changed = {
            number: after
            for number, after in changed.items()
            if after != kept.occupancy[number]
            or profile_before[number] != shared.profile_of[number]
        }
        if not changed:
            return kept._replace(shared=shared)
        rows, occupancy = kept.rows, list(kept.occupancy)
        now, most = dict(kept.now), dict(kept.most)
    else:
        names = {row.name for row in room}
        rows = frozenset(number for number, row in enumerate(shared.rows) if row.name in names)
        changed = {**dict(enumerate(kept.occupancy)), **changed} if kept is not None else changed
        occupancy = [None] * len(shared.profile_of)
        now, most = dict.fromkeys(rows, 0), dict.fromkeys(rows, 0)
        profile_before = shared.profile_of
    profiles = shared.tariff.everywhere_on(rows)
    for number, after in changed.items():
        before = occupancy[number]
        if before is not None:
            for row, use in profiles[profile_before[number]].everywhere.takes:
                now[row] -= use * before.now
                most[row] -= use * before.most
        occupancy[number] = after
        if after is not None:
            for row, use in profiles[shared.profile_of[number]].everywhere.takes:
                now[row] += use * after.now
                most[row] += use * after.most
    room_now = Room(shared, rows, now, most, occupancy, {})
    if all(drawn <= shared.supply.left[row] for row, drawn in most.items()):
        return room_now
    return room_now._replace(grown=_grow(field, room_now))


def _grow(field: Field, room: Room) -> dict[int, Grown]:
    """The growing pools that cannot have their target yet, by number. Free room goes to the highest
    tier first, and there by progressive filling from the present sizes.
    """
    shared = room.shared
    current = [0 if each is None else each.current for each in room.occupancy]
    goals = [0 if each is None else max(each.target, each.current) for each in room.occupancy]
    growing: dict[int, list[int]] = {}
    for number, each in enumerate(room.occupancy):
        if each is not None and each.target > each.current:
            growing.setdefault(field.tier_of[number], []).append(number)
    accounts = Rows.of_room(shared.supply, shared.tariff, shared.profile_of, room.rows)
    for row, drawn in room.now.items():
        accounts.left[row] -= drawn
    filling = Filling(field, current, accounts, shared.owners._replace(known={}))
    filling.have = list(current)
    found: dict[int, Grown] = {}
    for _, numbers in sorted(growing.items(), reverse=True):
        fill(filling, numbers, goals, strict=True)
        for number in numbers:
            refused = filling.refused_by[number]
            if refused != GRANTED:
                found[number] = Grown(filling.have[number], shared.rows[refused].name)
    return found
