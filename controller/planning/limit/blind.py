"""Long blindness: a tier may require some replicas if a pool's work is unknown for long."""

from __future__ import annotations

from math import isfinite

import msgspec

from controller.model.decision import Code, Reason
from controller.model.readings import Fresh, Stale
from controller.planning.inputs import Moment, PoolInput
from controller.planning.recommend.recommendation import add_reason
from controller.planning.values import Demand, Recommendation


class Lifted(msgspec.Struct, frozen=True, gc=False):
    """The size after the policy for long blindness, and since when the pool's work is unknown.

    `is_raised`: the policy for blindness decided the size.
    """

    replicas: int
    blind_since: float | None
    is_raised: bool = False


def lift_blind(
    given: PoolInput,
    demand: Demand,
    recommendation: Recommendation,
    moment: Moment,
    reasons: list[Reason],
) -> Lifted:
    """If the pool has been blind for longer than its tier's policy waits, raise its size to the
    policy's replicas, or to those of its own fallback if they are more. The size is never lowered;
    ceilings are applied later.
    """
    replicas = recommendation.replicas
    if demand.work.counted:
        return Lifted(replicas, None)
    since = _blind_since(given, demand, moment)
    policy = given.override.blind
    if policy is None or recommendation.left_alone or not moment.passed(since + policy.after_s):
        return Lifted(replicas, since)
    fallback = given.terms.pool.fallback
    least = policy.replicas if fallback is None else max(policy.replicas, fallback.replicas)
    if replicas > least:
        return Lifted(replicas, since)
    add_reason(reasons, Code.BLIND_FOR_LONG, least, since=since, after_s=policy.after_s)
    return Lifted(least, since, is_raised=True)


def _blind_since(given: PoolInput, demand: Demand, moment: Moment) -> float:
    """When the work was last known: the time of the last good answer, else the remembered time,
    else the time when it was found to be unknown.
    """
    queue, known = given.seen.queue, given.memory.blind_since
    by_queue = demand.unusable is None and not isinstance(queue, Fresh)
    if by_queue and isinstance(queue, Stale) and isfinite(queue.at) and moment.reached(queue.at):
        return queue.at
    if known is not None:
        return known
    if by_queue and queue.at > 0 and moment.reached(queue.at):
        return queue.at
    return moment.now
