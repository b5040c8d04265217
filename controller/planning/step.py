"""Step 4: moves a pool from its present size towards its target. Only idle replicas are removed,
and a pool grows only into room that other replicas have left. If sharing reduces the pool, new
replicas also keep their minimum runtime.
"""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.decision import Code, Drain, Gate
from controller.model.observation import QueueDepth
from controller.model.readings import Reading, last_known
from controller.planning.demand.queue import IMPLAUSIBLE_MESSAGES
from controller.planning.drain import crew_of, drain, drain_from_the_top, held, place, too_young
from controller.planning.inputs import Moment, PoolInput
from controller.planning.room import Grown
from controller.planning.values import Limits, Next, Target


def step(
    given: PoolInput, limits: Limits, target: Target, grown: Grown | None, moment: Moment
) -> Next:
    """The size to set now, and what its workers are told. `grown` is the size that tight room
    allows, if that is less than the target.
    """
    if limits.left_alone:
        return Next(given.current)
    crew = crew_of(given, target, moment)
    if crew is None:
        return _by_queue(given, limits, target, grown, moment)
    if given.seen.unmarkable:
        # nobody else can choose the pods, so that none is told to stop for nothing
        following = _by_queue(given, limits, target, grown, moment)
        return replace(following, drain=Drain(orders=crew.orders))
    least = min(target.replicas, given.current)
    shrinking = drain if given.workload.first_ordinal is None else drain_from_the_top
    drained = shrinking(given, crew, least, limits.recommendation, moment)
    if target.replicas <= given.current:
        return drained
    return replace(_by_queue(given, limits, target, grown, moment), drain=drained.drain)


def _by_queue(
    given: PoolInput, limits: Limits, target: Target, grown: Grown | None, moment: Moment
) -> Next:
    """The size of a pool of which only the queue says how many replicas are busy."""
    wanted, current = target.replicas, given.current
    if wanted == current:
        return Next(current)
    if wanted < current:
        shrinking = shrink if given.workload.first_ordinal is None else shrink_from_the_top
        return shrinking(given, wanted, limits.recommendation, moment)
    if grown is None:
        return Next(wanted)
    busy = busy_replicas(given.seen.queue, given.terms.pool.slots, current)
    return held(grown.replicas, Gate.ROOM, Code.ROOM, busy=busy, row=grown.refused_by)


def shrink(given: PoolInput, target: int, recommendation: int, moment: Moment) -> Next:
    """The size after removing as many replicas above `target` as are idle and old enough, if only
    the queue says how many are busy.

    The minimum runtime counts only if `target` is below `recommendation`. All sizes in replicas.
    """
    current = given.current
    busy = busy_replicas(given.seen.queue, given.terms.pool.slots, current)
    surplus, idle = current - target, current - busy
    young = len(too_young(given, moment)) if target < recommendation else 0
    replicas = current - min(surplus, max(idle - young, 0))
    if replicas == target:
        return Next(target)
    if idle < surplus:
        return held(replicas, Gate.BUSY, Code.BUSY, busy=busy)
    return held(replicas, Gate.MINIMUM_RUNTIME, Code.MINIMUM_RUNTIME, busy=busy)


def shrink_from_the_top(given: PoolInput, target: int, recommendation: int, moment: Moment) -> Next:
    """The size now, if only the queue says how many are busy: any of them may be the highest, so
    none goes before all are idle.

    `target` is not above the present size. The minimum runtime counts only if `target` is below
    `recommendation`. All sizes in replicas.
    """
    current = given.current
    busy = busy_replicas(given.seen.queue, given.terms.pool.slots, current)
    if busy:
        return held(current, Gate.BUSY, Code.BUSY_SOMEWHERE, busy=busy)
    young = too_young(given, moment) if target < recommendation else []
    kept = min(max([target, *(place(given, pod) + 1 for pod in young)]), current)
    if kept == target:
        return Next(target)
    return held(kept, Gate.MINIMUM_RUNTIME, Code.MINIMUM_RUNTIME, busy=0)


def busy_replicas(queue: Reading[QueueDepth], slots: int, current: int) -> int:
    """The number of busy replicas: messages in flight by `slots`, rounded up, at most `current`;
    0 if the queue is not known. Messages are assumed to fill one replica after another.
    """
    depth = last_known(queue)
    if depth is None or not 0 <= depth.in_flight < IMPLAUSIBLE_MESSAGES:
        return 0
    return min(current, -(-depth.in_flight // max(slots, 1)))
