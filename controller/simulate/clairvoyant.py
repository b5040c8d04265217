"""A lower bound: the cost of a controller that knows every task in advance and lets none wait."""

from __future__ import annotations

from controller.simulate.trace import Trace, TraceTask
from controller.simulate.world import World


def clairvoyant_replica_s(trace: Trace, world: World) -> float:
    """The least replica-seconds with which no task of the trace waits.

    Replica number j is needed while more than (j − 1)·slots tasks run. In a gap where it is not
    needed it either stays, or stops and starts again just in time, whichever costs less. Replicas
    are alike, so each j can be decided separately. With more than one slot, the bound lets tasks
    move between replicas, so it may be lower than what is possible.
    """
    return sum(_pool_replica_s(tasks, world) for tasks in trace.pools.values())


def _pool_replica_s(tasks: list[TraceTask], world: World) -> float:
    starts = [(task.arrival_s, 1) for task in tasks]
    ends = [(task.arrival_s + task.service_s, -1) for task in tasks]
    replica_s, running, level, since = 0.0, 0, 0, 0.0
    left_at: list[float] = []  # for each level above the present one, when it was last needed
    for at, change in sorted(starts + ends):  # at equal times, ends come before starts
        replica_s += level * (at - since)
        since = at
        running += change
        needed = -(-running // world.slots)
        if needed > level:
            level = needed
            gap_s = at - left_at.pop() if left_at else world.time_to_ready_s
            replica_s += min(gap_s, world.time_to_ready_s)
        elif needed < level:
            level = needed
            left_at.append(at)
    return replica_s
