"""Step 4: moves a pool from its present size towards its target. Only idle replicas are removed,
and a pool grows only into room that other replicas have left.
"""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.decision import Code, Drain, Gate, Number, Reason
from controller.planning.inputs import Moment, PoolInput
from controller.planning.step.crew import crew_of
from controller.planning.step.drain import drain
from controller.planning.step.idle_first import busy_replicas, shrink
from controller.planning.step.ordinals import drain_from_the_top, shrink_from_the_top
from controller.planning.step.pulling import pulling
from controller.planning.step.room import Grown
from controller.planning.values import Limits, Next, Target


def step(
    given: PoolInput, limits: Limits, target: Target, grown: Grown | None, moment: Moment
) -> Next:
    """The size to set now, and what its workers are told. `grown` is the size that tight room
    allows, if that is less than the target.
    """
    if limits.left_alone:
        return Next(given.current)
    crew = crew_of(given, moment)
    if crew is None:
        return _by_queue(given, limits, target, grown, moment)
    orders = pulling(given, target, moment)
    if given.seen.unmarkable:
        # nobody else can choose the pods, so that none is told to stop for nothing
        following = _by_queue(given, limits, target, grown, moment)
        return replace(following, drain=Drain(orders=orders))
    least = min(target.replicas, given.current)
    shrinking = drain if given.workload.first_ordinal is None else drain_from_the_top
    drained = shrinking(given, crew, orders, least, limits.recommendation, moment)
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
    numbers: dict[str, Number] = {"busy": busy, "row": grown.refused_by}
    reason = Reason(code=Code.ROOM, value=grown.replicas, numbers=numbers)
    return Next(grown.replicas, Gate.ROOM, (reason,))
