"""Step 4 for the whole fleet: how far pools may grow when physical room is tight."""

from __future__ import annotations

from typing import Final, NamedTuple

from controller.model.observation import PodPhase
from controller.model.readings import last_known
from controller.planning.allocation.values import SharingError
from controller.planning.context import PlanContext
from controller.planning.kept import LocalPlan, last_size
from controller.planning.room import Grown, Occupancy, Room, room_of
from controller.planning.targets import Targets


class Growth(NamedTuple):
    """The physical room, None if it is not limited. `changed` are the numbers of the pools whose
    growth it limits in another way than in the previous plan.
    """

    room: Room | None
    changed: frozenset[int]

    def grown(self, number: int) -> Grown | None:
        """The size that tight room allows the pool; None if it may have its target."""
        return None if self.room is None else self.room.grown.get(number)


_NOT_ACTIVE: Final = frozenset({PodPhase.TERMINATING, PodPhase.FAILED})
UNLIMITED_GROWTH: Final = Growth(None, frozenset())


def growth_of(context: PlanContext, targets: Targets) -> Growth:
    """How far the growing pools may go. Raises SharingError if an input cannot be used."""
    changes, kept, field = context.changes, context.kept, context.terms.sharing.field
    shared, room = targets.shared, targets.scarcity.room
    before = None if kept is None else kept.room
    if shared is None or not room or isinstance(field, SharingError):
        return Growth(None, frozenset() if before is None else frozenset(before.grown))
    occupancy: dict[int, Occupancy | None] = {}
    if kept is not None and before is None:
        for number, result in enumerate(kept.results):
            if result is not None and result.local is not None and result.target is not None:
                occupancy[number] = _occupancy(result.local, result.target.replicas)
            elif result is not None and (size := last_size(result)) is not None:
                occupancy[number] = Occupancy(size, size, 0)
    if changes.has_unseen:
        occupancy.update((number, None) for number, each in enumerate(changes.seen) if each is None)
    for number, target in targets.targets.items():
        one = context.local.get(number)
        if one is None and kept is not None and (result := kept.results[number]) is not None:
            one = result.local
        if one is not None:
            occupancy[number] = _occupancy(one, target.replicas)
    for number, replicas in (*context.unknown.items(), *changes.fixed.items()):
        occupancy[number] = None if replicas is None else Occupancy(replicas, replicas, 0)
    after = room_of(field, shared, room, occupancy, before)
    if before is None or after.grown is before.grown:
        return Growth(after, frozenset())
    return Growth(
        after,
        frozenset(
            number
            for number in after.grown.keys() | before.grown.keys()
            if after.grown.get(number) != before.grown.get(number)
        ),
    )


def _occupancy(one: LocalPlan, target: int) -> Occupancy:
    """The pool's use of room. A pod beyond its size (a rollout's surge, or one that a ReplicaSet is
    about to delete) takes room like a terminating one.
    """
    pods = last_known(one.given.seen.pods)
    if pods is None:
        return Occupancy(one.given.current, target, 0)
    active = sum(pod.phase not in _NOT_ACTIVE for pod in pods.items)
    leaving = max(pods.terminating, 0) + max(active - one.given.current, 0)
    return Occupancy(one.given.current, target, leaving)
