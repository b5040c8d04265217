"""Scale-down of a StatefulSet, which removes its pods from the highest ordinal down, and no others
(kubernetes pkg/controller/statefulset, startOrdinal and endOrdinal). So it shrinks only by as many
as are idle from the top: a busy pod keeps all pods below it.

The pods that go are known in advance, so no mark is needed, and neither a rollout nor a pod that is
not ready changes which they are.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.decision import Code, Drain, Gate, Number, Reason
from controller.model.observation import Pod
from controller.model.worker_messages import PoolOrders
from controller.planning.drain import Crew, busy_replicas, too_young
from controller.planning.inputs import Moment, PoolInput
from controller.planning.remember.writes import may_shrink_late
from controller.planning.values import Next

TOLD_AHEAD: Final = 100
"""The most pods that are told to stop before they are there."""


def drain_from_the_top(  # noqa: PLR0917 - what a shrinking pool depends on
    given: PoolInput,
    crew: Crew,
    orders: PoolOrders,
    target: int,
    recommendation: int,
    moment: Moment,
) -> Next:
    """The size now, and what the workers are told, which are `orders` and the pods that stop.

    `target` is not above the present size. The minimum runtime counts only if `target` is below
    `recommendation`. All sizes in replicas.
    """
    current = given.current
    young = too_young(given, moment) if target < recommendation else []
    kept = max([target, *(place(given, pod) + 1 for pod in young if not crew.is_told(pod))])
    kept = min(kept, current)
    names = _names(given, crew, kept)
    following = min(current, max(names, default=current - 1) + 1)
    while following > kept and names[following - 1] in crew.drained:
        following -= 1
    told = {*names.values(), *_leaving(given, crew), *crew.ending}
    drain = Drain(orders=replace(orders, drain=tuple(sorted(told))))
    if following == target:
        return Next(following, drain=drain)
    if following == kept:
        reason = Reason(code=Code.MINIMUM_RUNTIME, value=following)
        return Next(following, Gate.MINIMUM_RUNTIME, (reason,), drain)
    going = [pod for pod in crew.pods if kept <= place(given, pod) < current]
    numbers: dict[str, Number] = {
        "going": current - kept,
        "busy": sum(crew.busy(pod) > 0 for pod in going),
        "pod": names[following - 1],
    }
    reason = Reason(code=Code.BUSY_AT_THE_TOP, value=following, numbers=numbers)
    return Next(following, Gate.BUSY, (reason,), drain)


def shrink_from_the_top(given: PoolInput, target: int, recommendation: int, moment: Moment) -> Next:
    """The size now, if only the queue says how many are busy: any of them may be the highest, so
    none goes before all are idle.

    `target` is not above the present size. The minimum runtime counts only if `target` is below
    `recommendation`. All sizes in replicas.
    """
    current = given.current
    busy = busy_replicas(given.seen.queue, given.terms.pool.slots, current)
    if busy:
        reason = Reason(code=Code.BUSY_SOMEWHERE, value=current, numbers={"busy": busy})
        return Next(current, Gate.BUSY, (reason,))
    young = too_young(given, moment) if target < recommendation else []
    kept = min(max([target, *(place(given, pod) + 1 for pod in young)]), current)
    if kept == target:
        return Next(target)
    reason = Reason(code=Code.MINIMUM_RUNTIME, value=kept, numbers={"busy": 0})
    return Next(kept, Gate.MINIMUM_RUNTIME, (reason,))


def place(given: PoolInput, pod: Pod) -> int:
    """How many replicas the pool keeps without this pod: its ordinal less that of the first. A pod
    without an ordinal is none of the StatefulSet's own, and goes never.
    """
    return -1 if pod.ordinal is None else pod.ordinal - (given.workload.first_ordinal or 0)


def _names(given: PoolInput, crew: Crew, kept: int) -> dict[int, str]:
    """The names of the pods that go, by place, also of those that may come soon. Pods are created
    from the lowest ordinal up, so none comes `TOLD_AHEAD` above the highest that is there.
    """
    name, first = given.terms.pool.workload.name, given.workload.first_ordinal or 0
    highest = max((place(given, pod) for pod in crew.pods), default=-1)
    end = min(given.current, max(kept, highest + 1) + TOLD_AHEAD)
    names = {number: f"{name}-{first + number}" for number in range(kept, end)}
    beyond = (pod for pod in crew.pods if place(given, pod) >= given.current)
    return names | {place(given, pod): pod.name for pod in beyond}


def _leaving(given: PoolInput, crew: Crew) -> list[str]:
    """The pods that may be deleted at this moment, although the pool grows again: its controller
    has not seen its present size yet, and may still act on the one before; or a smaller size was
    asked for, and may still be set.
    """
    workload = given.workload
    has_seen = workload.observed_generation >= workload.generation
    if has_seen and not may_shrink_late(given.memory, workload):
        return []
    return [pod.name for pod in crew.pods if crew.is_told(pod)]
