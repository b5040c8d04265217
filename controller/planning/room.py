"""Pools grow only into physically free room: a replica that leaves, or that a rollout has beyond
the pool's size, counts until it is gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from controller.model.observation import PodPhase
from controller.model.readings import last_known
from controller.planning.amounts import Claim, ReplicaUses, Row
from controller.planning.inputs import PoolInput
from controller.planning.share.bids import GRANTED
from controller.planning.share.divide import Divider
from controller.planning.share.units import Field

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

    - `rows`: the room's rows. `uses`, `occupancy`: by pool number.
    - `now`, `most`: by row's name, what the pools use now, and the most on the way to their
      targets.
    - `grown`: by pool number, the growing pools that cannot have their target yet.
    - `divider`, `drawn`: kept to save time; by id of the uses, they and their part of the room.
    """

    rows: tuple[Row, ...]
    uses: Sequence[ReplicaUses]
    occupancy: Sequence[Occupancy | None]
    now: Mapping[str, int]
    most: Mapping[str, int]
    grown: Mapping[int, Grown]
    divider: Divider
    drawn: dict[int, tuple[ReplicaUses, ReplicaUses]]


def occupancy_of(given: PoolInput, target: int) -> Occupancy:
    """The pool's use of room. A pod beyond its size (a rollout's surge, or one that a ReplicaSet is
    about to delete) takes room like a terminating one.
    """
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
    rows = tuple(sorted((row for row in rows if "@" not in row.name), key=_name))
    if kept is not None and kept.rows != rows:
        changed, kept = {**dict(enumerate(kept.occupancy)), **changed}, None
    if kept is None:
        nothing = dict.fromkeys([row.name for row in rows], 0)
        kept = Room(rows, uses, [None] * len(uses), nothing, nothing, {}, Divider(field), {})
    occupancy, now, most = list(kept.occupancy), dict(kept.now), dict(kept.most)
    before, is_same = kept.uses, True
    for number, after in changed.items():
        known = occupancy[number]
        if after == known and uses[number] is before[number]:
            continue
        is_same, occupancy[number] = False, after
        for each, one, sign in ((known, before[number], -1), (after, uses[number], 1)):
            if each is not None:
                for name in now:
                    use = sign * int(one.everywhere.get(name, 0))
                    now[name] += use * each.now
                    most[name] += use * each.most
    room = kept._replace(uses=uses, occupancy=occupancy, now=now, most=most)
    if is_same:
        return room
    fits = all(most[row.name] <= row.capacity for row in rows)
    return room._replace(grown={} if fits else _grow(field, room))


def _name(row: Row) -> str:
    return row.name


def _grow(field: Field, room: Room) -> dict[int, Grown]:
    """The growing pools that cannot have their target yet. Free room goes to the highest tier
    first, and there by shares that begin with the present sizes. A pool for which there is no room
    now is refused at once: room only becomes less.
    """
    occupancy, taken = room.occupancy, dict(room.now)
    free = [(row.name, int(row.capacity) - taken[row.name]) for row in room.rows]
    found: dict[int, Grown] = {}
    fitting: set[int] = set()
    for number, each in enumerate(occupancy):
        if each is not None and each.target > each.current:
            uses = room.uses[number].everywhere
            full = next((name for name, left in free if uses.get(name, 0) > left), None)
            if full is None:
                fitting.add(number)
            else:
                found[number] = Grown(each.current, full)
    if not fitting:
        return found
    claims: list[Claim | None] = [None] * len(occupancy)
    parts = [_NO_USES] * len(occupancy)
    if len(room.drawn) > 4 * len(parts) + 4:
        room.drawn.clear()  # measured uses change all the time
    for number in [n for t in {field.tenant_of[n] for n in fitting} for n in field.pools_of[t]]:
        each, used = occupancy[number], room.uses[number]
        if each is None:
            continue
        claims[number] = _grown_claim(each.current, each.target if number in fitting else 0)
        if id(used) not in room.drawn:
            drawn = {name: used.everywhere[name] for name in taken if name in used.everywhere}
            room.drawn[id(used)] = used, ReplicaUses(drawn)
        parts[number] = room.drawn[id(used)][1]
        for name, use in parts[number].everywhere.items():
            taken[name] -= int(use) * each.current
    division = room.divider.divide(room.rows, claims, parts, taken)
    for number in fitting:
        if (refused := division.refused_by[number]) != GRANTED:
            found[number] = Grown(division.have[number], room.rows[refused].name)
    return found


_NO_USES: Final = ReplicaUses(MappingProxyType({}))


def _grown_claim(current: int, target: int) -> Claim:
    """It keeps what it has whether that fits or not, and wants the rest."""
    return Claim(
        floor=current,
        need=current,
        want=max(target, current),
        asked=target,
        demand=target,
        min=0,
        current=current,
        fixed=True,
        works=False,
        has_spares=False,
        ceiling=None,
    )
