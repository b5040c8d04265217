"""Long blindness: after a while a tier prefers some replicas at work over none in the dark."""

from __future__ import annotations

from math import isfinite

from msgspec.structs import replace

from controller.model.decision import Bound, Code
from controller.model.readings import Fresh, Stale
from controller.planning.draft import Draft


def lift_blind(draft: Draft) -> None:
    """Note since when the pool's work is not known; after so long as its tier waits, raise it to at
    least what the tier or its own fallback asks for. Nothing is lowered, and ceilings come after.
    """
    memory = draft.memory
    if draft.work.counted:
        if memory.blind_since is not None:
            draft.memory = replace(memory, blind_since=None)
        return
    since = _blind_since(draft)
    if since != memory.blind_since:
        draft.memory = replace(memory, blind_since=since)
    policy = draft.override.blind if draft.override is not None else None
    if policy is None or draft.left_alone or draft.now - since <= policy.after_s:
        return
    fallback = draft.pool.fallback
    least = policy.replicas if fallback is None else max(policy.replicas, fallback.replicas)
    if draft.replicas > least:
        return
    draft.replicas, draft.bound = least, Bound.DEMAND
    draft.because(
        Code.BLIND_FOR_LONG, least, age_s=round(draft.now - since, 3), after_s=policy.after_s
    )


def _blind_since(draft: Draft) -> float:
    """When the work was last known: by the last good answer, else as it is remembered, else when it
    was found out.
    """
    queue, known, now = draft.seen.queue, draft.memory.blind_since, draft.now
    by_queue = draft.unknown is None and not isinstance(queue, Fresh)
    if by_queue and isinstance(queue, Stale) and isfinite(queue.at) and queue.at <= now:
        return queue.at
    if known is not None:
        return known
    return queue.at if by_queue and 0 < queue.at <= now else now
