"""Step 4 for the whole fleet: which pools may grow into tight room, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from controller.model.readings import last_known
from controller.planning.allocation.values import SharingError
from controller.planning.begun import Begun
from controller.planning.kept import Alone, Kept
from controller.planning.step.room import Grown, Room, Standing, grow, room_of
from controller.planning.targets import Targets


class Moves(NamedTuple):
    """The room, and what it lets pools have, by number, where it is tight. `moved` are the pools
    for which that is not as in the plan before.
    """

    room: Room | None
    grown: Mapping[int, Grown]
    moved: frozenset[int]


NO_MOVES: Final = Moves(None, {}, frozenset())


def moves_of(begun: Begun, targets: Targets) -> Moves:
    """How far the growing pools may go. Raises SharingError for what cannot be shared by."""
    terms, changes, kept = begun.terms, begun.changes, begun.kept
    shared, room = targets.shared, targets.scarcity.room
    if shared is None or not room:
        return Moves(None, {}, _grown_before(kept))
    standing: dict[int, Standing | None] = {}
    before = None if kept is None else kept.room
    if kept is not None and before is None:
        for number, result in enumerate(kept.results):
            if result is not None and result.alone is not None and result.target is not None:
                standing[number] = _standing(result.alone, result.target.replicas)
    if changes.has_unseen:
        standing.update((number, None) for number, each in enumerate(changes.seen) if each is None)
    for number, target in targets.targets.items():
        one = begun.alone.get(number)
        if one is None and kept is not None and (result := kept.results[number]) is not None:
            one = result.alone
        if one is not None:
            standing[number] = _standing(one, target.replicas)
    for number, replicas in (*begun.unknown.items(), *changes.fixed.items()):
        standing[number] = None if replicas is None else Standing(replicas, replicas, 0)
    now = room_of(shared, room, standing, before)
    field = terms.sharing.field
    if isinstance(field, SharingError) or not now.is_tight:
        return Moves(now, {}, _grown_before(kept))
    grown = grow(field, now)
    moved = {
        number
        for number in grown.keys() | _grown_before(kept)
        if grown.get(number) != _before(kept, number)
    }
    return Moves(now, grown, frozenset(moved))


def _standing(one: Alone, target: int) -> Standing:
    pods = last_known(one.given.seen.pods)
    terminating = 0 if pods is None else max(pods.terminating, 0)
    return Standing(one.given.current, target, terminating)


def _grown_before(kept: Kept | None) -> frozenset[int]:
    """The pools that tight room had limited."""
    if kept is None or kept.room is None or not kept.room.is_tight:
        return frozenset()
    return frozenset(
        number
        for number, result in enumerate(kept.results)
        if result is not None and result.grown is not None
    )


def _before(kept: Kept | None, number: int) -> Grown | None:
    result = None if kept is None else kept.results[number]
    return None if result is None else result.grown
