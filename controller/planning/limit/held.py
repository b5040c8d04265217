"""Whether a gate will keep a pool from shrinking, whatever sharing gives it."""

from __future__ import annotations

from controller.model.memory import PoolMemory
from controller.model.readings import Fresh
from controller.planning.inputs import Moment, PoolInput
from controller.planning.recommend.history import warm_until
from controller.planning.values import Demand


def is_held(
    given: PoolInput,
    demand: Demand,
    memory: PoolMemory,
    moment: Moment,
    *,
    replicas: int,
    unstabilized: int,
) -> bool:
    """Whether a freeze, another autoscaler, a pause that keeps the size, blindness or warm-up keeps
    it from shrinking.

    `replicas` is its size before sharing, `unstabilized` the same without windows and policies.
    """
    override, current = given.override, given.current
    if (
        override.freeze is not None
        or given.workload.autoscaler != ""
        or (override.halts and any(halt.holds for halt in override.halts))
        or not isinstance(given.seen.pods, Fresh)
    ):
        return True
    if replicas > current:
        return False
    return not demand.work.counted or (
        min(unstabilized, replicas) < current
        and not moment.reached(warm_until(given.terms, memory))
    )
