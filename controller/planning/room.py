"""Pools grow only into physically free room: a replica that leaves, or that a rollout has beyond
the pool's size, counts until it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from math import lcm
from operator import attrgetter
from typing import Final, NamedTuple

from controller.model.observation import PodPhase
from controller.model.readings import last_known
from controller.planning.inputs import PoolInput
from controller.planning.share.units import Field
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

    - `rows`: the room's rows. `uses`, `occupancy`: by pool number.
    - `now`, `most`: by row's name, what the pools use now, and the most on the way to their
      targets.
    - `grown`: by pool number, the growing pools that cannot have their target yet.
    """

    rows: tuple[Row, ...]
    uses: Sequence[ReplicaUses]
    occupancy: list[Occupancy | None]
    now: dict[str, int]
    most: dict[str, int]
    grown: Mapping[int, Grown]

    def needs(self, number: int) -> list[tuple[str, int]]:
        """What one more replica of this pool takes of each row."""
        uses = self.uses[number].everywhere
        return [(name, int(uses[name])) for name in self.now if name in uses]


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
    rows = tuple(sorted((row for row in rows if "@" not in row.name), key=attrgetter("name")))
    if kept is not None and kept.rows != rows:
        changed, kept = {**dict(enumerate(kept.occupancy)), **changed}, None
    if kept is None:
        nothing = dict.fromkeys([row.name for row in rows], 0)
        kept = Room(rows, uses, [None] * len(uses), nothing, nothing, {})
    room = kept._replace(
        uses=uses, occupancy=list(kept.occupancy), now=dict(kept.now), most=dict(kept.most)
    )
    is_same = True
    for number, after in changed.items():
        before = kept.occupancy[number]
        if after == before and uses[number] is kept.uses[number]:
            continue
        is_same, room.occupancy[number] = False, after
        for each, side, sign in ((before, kept, -1), (after, room, 1)):
            if each is not None:
                for name, use in side.needs(number):
                    room.now[name] += sign * use * each.now
                    room.most[name] += sign * use * each.most
    if is_same:
        return room
    fits = all(room.most[row.name] <= row.capacity for row in rows)
    return room._replace(grown={} if fits else _grow(field, room))


def _grow(field: Field, room: Room) -> dict[int, Grown]:
    """The growing pools that cannot have their target yet. Free room goes to the highest tier
    first, and there by shares that begin with the present sizes. A pool is refused once: room only
    becomes less.
    """
    left = {row.name: int(row.capacity) - room.now[row.name] for row in room.rows}
    found: dict[int, Grown] = {}
    growing: dict[int, dict[int, int]] = {}
    for number, each in enumerate(room.occupancy):
        if each is not None and each.target > each.current:
            if refused := _refusing(room.needs(number), left):
                found[number] = Grown(each.current, refused)
            else:
                growing.setdefault(field.tenant_of[number], {})[number] = each.target
    for tier in field.tiers:
        tenants = [_Tenant(field, room, each, growing[each]) for each in tier if each in growing]
        turns = [(each.level(), each.rank, each) for each in tenants]
        heapify(turns)
        while turns:
            tenant = turns[0][-1]
            pool = tenant.next()
            if refused := _refusing(room.needs(pool), left):
                found[pool] = Grown(tenant.have[pool], refused)
            else:
                tenant.take(pool, left)
            if tenant.waiting:
                heapreplace(turns, (tenant.level(), tenant.rank, tenant))
            else:
                heappop(turns)
    return found


def _refusing(needs: Iterable[tuple[str, int]], left: Mapping[str, int]) -> str:
    """The first row with too little left for one more replica; empty if there is none."""
    return next((name for name, use in needs if use > left[name]), "")


class _Tenant:
    """A tenant with growing pools: what its pools have and draw, and those that wait, the pool with
    the fewest replicas by weight first.
    """

    def __init__(self, field: Field, room: Room, number: int, goals: Mapping[int, int]) -> None:
        self._field, self._room, self._goals = field, room, goals
        self.rank = field.tenant_ranks[number]
        self._divisor = field.tenant_divisors[number]
        capacities = {row.name: int(row.capacity) for row in room.rows if row.capacity}
        unit = lcm(*capacities.values())
        self._parts = {name: unit // each for name, each in capacities.items()}
        self._drawn = dict.fromkeys(room.now, 0)
        self.have: dict[int, int] = {}
        self.waiting: list[tuple[int, int, int]] = []
        for pool in field.pools_of[number]:
            if (each := room.occupancy[pool]) is not None:
                self.have[pool] = each.current
                for name, use in room.needs(pool):
                    self._drawn[name] += use * each.current
        for pool in goals:
            self._wait(pool)

    def level(self) -> int:
        """Its largest share of a row, by its weight."""
        multiply, divide = self._divisor
        shares = (self._drawn[name] * part for name, part in self._parts.items())
        return max(shares, default=sum(self.have.values())) * multiply // divide

    def next(self) -> int:
        """The pool whose turn it is; it waits no longer."""
        return heappop(self.waiting)[-1]

    def take(self, pool: int, left: dict[str, int]) -> None:
        """Give the pool one replica of what is left."""
        for name, use in self._room.needs(pool):
            left[name] -= use
            self._drawn[name] += use
        self.have[pool] += 1
        if self.have[pool] < self._goals[pool]:
            self._wait(pool)

    def _wait(self, pool: int) -> None:
        multiply, divide = self._field.divisors[pool]
        level = self.have[pool] * multiply // divide
        heappush(self.waiting, (level, self._field.ranks[pool], pool))
