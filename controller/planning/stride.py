"""Step 4: from what a pool has towards its target: idle replicas go, busy ones finish, and nobody
grows into room that somebody still stands in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from controller.model.decision import Code, Gate
from controller.model.fleet import Fleet
from controller.model.readings import last_known
from controller.planning.demand import IMPLAUSIBLE_MESSAGES
from controller.planning.draft import Draft
from controller.planning.scarcity import Scarcity
from controller.planning.steps import Position, Step, step

_CODES: Final[Mapping[Gate, Code]] = {
    Gate.BUSY: Code.BUSY,
    Gate.ROOM: Code.ROOM,
    Gate.MINIMUM_RUNTIME: Code.MINIMUM_RUNTIME,
}


def stride(drafts: Sequence[Draft], fleet: Fleet, scarcity: Scarcity) -> None:
    """Set what may be reached of each target now. Raises SharingError as `share` does."""
    concerned = [
        draft
        for draft in drafts
        if not draft.left_alone and (scarcity.room or draft.target != draft.current)
    ]
    if not concerned:
        return
    tiers = {tenant.name: tenant.tier.priority for tenant in fleet.tenants}
    steps = step(
        (_position(draft, scarcity, tiers) for draft in concerned),
        scarcity.room,
        scarcity.tenant_weights,
    )
    for draft in concerned:
        _follow(draft, steps[draft.pool.key])


def _position(draft: Draft, scarcity: Scarcity, tiers: Mapping[str, int]) -> Position:
    pool = draft.pool
    pods = last_known(draft.seen.pods)
    return Position(
        pool=pool.key,
        tenant=pool.tenant,
        current=draft.current,
        target=draft.target,
        busy=busy_replicas(draft),
        terminating=pods.terminating if pods is not None and pods.terminating > 0 else 0,
        too_young=_too_young(draft),
        tier=tiers.get(pool.tenant, 0),
        weight=pool.weight,
        uses={
            name: amount for name, amount in scarcity.uses(pool).items() if _is_room(name, scarcity)
        },
    )


def _is_room(name: str, scarcity: Scarcity) -> bool:
    return any(row.name == name for row in scarcity.room)


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
