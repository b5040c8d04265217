"""Whether the workers of a pool may pull: not while it is paused, nor while its budget is spent,
and not on a node that ends.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Drain, Gate, Number, Reason
from controller.model.readings import last_known
from controller.model.worker_messages import PoolOrders
from controller.planning.drain import busy_replicas, crew_of, drain, shrink
from controller.planning.inputs import Moment, PoolInput
from controller.planning.ordinals import drain_from_the_top, shrink_from_the_top
from controller.planning.room import Grown
from controller.planning.share.calendar import local_day
from controller.planning.values import Limits, Next, Target

PULLING: Final = PoolOrders()


def pulling(given: PoolInput, target: Target, moment: Moment) -> PoolOrders:
    """The orders of a pool that does not shrink. They end with the pause, or with the day of the
    budget, so that work goes on even if no controller runs then.
    """
    orders, leaving = _of_pool(given, target, moment), _on_ending_nodes(given)
    return replace(orders, leave=leaving) if leaving else orders


def _on_ending_nodes(given: PoolInput) -> tuple[str, ...]:
    """The pods whose node ends: their workers hand their tasks back."""
    pods = last_known(given.seen.pods)
    ending = () if pods is None else (pod.name for pod in pods.items if pod.node_ends)
    return tuple(sorted(ending))


def _of_pool(given: PoolInput, target: Target, moment: Moment) -> PoolOrders:
    pause = given.override.pause
    if pause is not None and pause.keep is None:
        return PoolOrders(pull=False, because="pause", until=pause.until)
    if any(halt.keep == 0 for halt in given.override.halts):
        return PoolOrders(pull=False, because="pause")
    if any(reason.code is Code.BUDGET_SPENT for reason in target.reasons):
        until = local_day(moment.now, given.terms.zone).end
        return PoolOrders(pull=False, because="budget", until=until)
    return PULLING


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
