"""Step 4: from what a pool has towards its target: idle replicas go, busy ones finish, and nobody
grows into room that somebody still stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from controller.model.decision import Code, Gate
from controller.model.readings import last_known
from controller.planning.allocation import Row
from controller.planning.allocation.exact import exact
from controller.planning.demand import IMPLAUSIBLE_MESSAGES
from controller.planning.draft import Draft
from controller.planning.scarcity import Scarcity
from controller.planning.steps import Position, Step, step
from controller.planning.terms import Uses

NOTHING: Final[Uses] = MappingProxyType({})
_CODES: Final[Mapping[Gate, Code]] = {
    Gate.BUSY: Code.BUSY,
    Gate.ROOM: Code.ROOM,
    Gate.MINIMUM_RUNTIME: Code.MINIMUM_RUNTIME,
}


def stride(drafts: Sequence[Draft], scarcity: Scarcity) -> None:
    """Set what may be reached of each target now. Raises SharingError as `share` does."""
    deciding = [draft for draft in drafts if not draft.left_alone]
    moving = [draft for draft in deciding if draft.target != draft.current]
    if not moving:
        return
    crowded = _crowded(deciding, scarcity)
    positions = crowded or [_position(draft, scarcity, NOTHING, 0) for draft in moving]
    steps = step(positions, scarcity.room if crowded else (), scarcity.tenant_weights)
    for draft in moving:
        _follow(draft, steps[draft.pool.key])


def _crowded(drafts: Sequence[Draft], scarcity: Scarcity) -> list[Position]:
    """All of these, where somebody wants to grow and room is tight: who stays counts, too, in the
    room, and as its tenant's. Nobody where there is room for everyone.
    """
    if not scarcity.room or all(draft.target <= draft.current for draft in drafts):
        return []
    there = [scarcity.room_uses(draft.pool) for draft in drafts]
    leaving = [_terminating(draft) for draft in drafts]
    if not _is_tight(drafts, there, leaving, scarcity.room):
        return []
    return [
        _position(draft, scarcity, uses, terminating)
        for draft, uses, terminating in zip(drafts, there, leaving, strict=True)
    ]


def _is_tight(
    drafts: Iterable[Draft],
    there: Iterable[Uses],
    leaving: Iterable[int],
    room: Iterable[Row],
) -> bool:
    """Whether not all could stand where they are and where they go, beside who is `leaving`."""
    replicas: dict[int, int] = {}
    alike: dict[int, Uses] = {}
    for draft, uses, terminating in zip(drafts, there, leaving, strict=True):
        key = id(uses)
        alike[key] = uses
        most = max(draft.current, draft.target) + terminating
        replicas[key] = replicas.get(key, 0) + most
    left = {row.name: exact(row.capacity, row.name) for row in room}
    for key, uses in alike.items():
        for name, use in uses.items():
            left[name] -= replicas[key] * exact(use, name)
    return any(amount < 0 for amount in left.values())


def _position(draft: Draft, scarcity: Scarcity, uses: Uses, terminating: int) -> Position:
    pool, goes = draft.pool, draft.target < draft.current
    return Position(
        pool=pool.key,
        tenant=pool.tenant,
        current=draft.current,
        target=draft.target,
        busy=busy_replicas(draft) if goes else 0,
        terminating=terminating,
        too_young=_too_young(draft) if goes else 0,
        tier=scarcity.tiers.get(pool.tenant, 0),
        weight=scarcity.weights[pool.key],
        uses=uses,
    )


def _terminating(draft: Draft) -> int:
    pods = last_known(draft.seen.pods)
    return 0 if pods is None else max(pods.terminating, 0)


def busy_replicas(draft: Draft) -> int:
    """Replicas that work: as many as the messages in flight fill, `slots` each."""
    depth = last_known(draft.seen.queue)
    if depth is None or not 0 <= depth.in_flight < IMPLAUSIBLE_MESSAGES:
        return 0
    return min(draft.current, -(-depth.in_flight // max(draft.pool.slots, 1)))


def _too_young(draft: Draft) -> int:
    """Replicas that sharing may not take back yet."""
    runtime_s, pods = draft.pool.minimum_runtime_s, last_known(draft.seen.pods)
    if runtime_s <= 0 or pods is None or draft.target >= draft.recommendation:
        return 0
    return sum(
        pod.ready_at is not None and draft.now - pod.ready_at < runtime_s for pod in pods.items
    )


def _follow(draft: Draft, taken: Step) -> None:
    draft.replicas = taken.next
    draft.gate = taken.gate
    if taken.gate is not None:
        draft.because(
            _CODES[taken.gate], taken.next, busy=busy_replicas(draft), row=taken.limited_by
        )
