"""Scale-down removes only idle replicas: busy ones finish their tasks first. If sharing reduces the
pool, new replicas also keep their minimum runtime.
"""

from __future__ import annotations

from controller.model.decision import Code, Gate, Number, Reason
from controller.model.observation import Pod, QueueDepth
from controller.model.readings import Reading, last_known
from controller.planning.demand.work import IMPLAUSIBLE_MESSAGES
from controller.planning.inputs import Moment, PoolInput
from controller.planning.values import Next


def shrink(given: PoolInput, target: int, recommendation: int, moment: Moment) -> Next:
    """The size after removing as many replicas above `target` as are idle and old enough.

    The minimum runtime counts only if `target` is below `recommendation`. All sizes in replicas.
    """
    current, pool = given.current, given.terms.pool
    busy = busy_replicas(given.seen.queue, pool.slots, current)
    surplus, idle = current - target, current - busy
    young = len(too_young(given, moment)) if target < recommendation else 0
    removed = min(surplus, max(idle - young, 0))
    if removed == surplus:
        return Next(target)
    replicas = current - removed
    gate, code = Gate.MINIMUM_RUNTIME, Code.MINIMUM_RUNTIME
    if idle < surplus:
        gate, code = Gate.BUSY, Code.BUSY
    numbers: dict[str, Number] = {"busy": busy}
    return Next(replicas, gate, (Reason(code=code, value=replicas, numbers=numbers),))


def busy_replicas(queue: Reading[QueueDepth], slots: int, current: int) -> int:
    """The number of busy replicas: messages in flight by `slots`, rounded up, at most `current`;
    0 if the queue is not known. Messages are assumed to fill one replica after another.
    """
    depth = last_known(queue)
    if depth is None or not 0 <= depth.in_flight < IMPLAUSIBLE_MESSAGES:
        return 0
    return min(current, -(-depth.in_flight // max(slots, 1)))


def too_young(given: PoolInput, moment: Moment) -> list[Pod]:
    """The pods that became ready less than their minimum runtime ago."""
    runtime_s, pods = given.terms.pool.minimum_runtime_s, last_known(given.seen.pods)
    if runtime_s <= 0 or pods is None:
        return []
    return [
        pod
        for pod in pods.items
        if pod.ready_at is not None and not moment.reached(pod.ready_at + runtime_s)
    ]
