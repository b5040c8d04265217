"""Step 4: moves a pool from its present size towards its target. Only idle replicas are removed,
and a pool grows only into room that other replicas have left.
"""

from __future__ import annotations

from controller.model.decision import Code, Gate, Number, Reason
from controller.planning.given.moment import Moment
from controller.planning.given.pool_input import PoolInput
from controller.planning.limit.limits import Limits
from controller.planning.share.target import Target
from controller.planning.step.idle_first import busy_replicas, shrink
from controller.planning.step.next import Next
from controller.planning.step.room import Grown


def step(
    given: PoolInput, limits: Limits, target: Target, grown: Grown | None, moment: Moment
) -> Next:
    """The size to set now. `grown` is the size that tight room allows, if that is less than the
    target.
    """
    wanted, current = target.replicas, given.current
    if limits.left_alone or wanted == current:
        return Next(current)
    if wanted < current:
        return shrink(given, wanted, limits.recommendation, moment)
    if grown is None:
        return Next(wanted)
    busy = busy_replicas(given.seen.queue, given.terms.pool.slots, current)
    numbers: dict[str, Number] = {"busy": busy, "row": grown.refused_by}
    reason = Reason(code=Code.ROOM, value=grown.replicas, numbers=numbers)
    return Next(grown.replicas, Gate.ROOM, (reason,))
