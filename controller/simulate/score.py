"""The score of a run: waits, replica-hours, and how often replica counts changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, groupby, pairwise
from operator import itemgetter
from typing import Final, NamedTuple

from controller.simulate.trace import Trace, TraceTask
from controller.simulate.world import Action, PoolRun, World

AT_ONCE_S: Final = 1.0
REVERSAL_S: Final = 300.0


class Score(NamedTuple):
    """The score of all pools of a run together.

    - `wait_…_s`: seconds; the percentiles are nearest-rank, over all started tasks.
    - `at_once`: the share of tasks that waited no more than `AT_ONCE_S`.
    - `actions`: changes of a pool's replicas. `reversals`: decreases that an increase of the same
      pool follows within `REVERSAL_S`.
    - `unserved`: tasks that were never started; they have no wait.
    """

    tasks: int
    wait_p50_s: float
    wait_p95_s: float
    wait_p99_s: float
    wait_mean_s: float
    at_once: float
    replica_hours: float
    actions: int
    reversals: int
    unserved: int = 0


def score(runs: Iterable[PoolRun]) -> Score:
    """The score of these pools."""
    runs = list(runs)
    waits = sorted(wait for run in runs for wait in run.waits_s)
    count = max(len(waits), 1)
    return Score(
        tasks=len(waits),
        wait_p50_s=percentile(waits, 0.50),
        wait_p95_s=percentile(waits, 0.95),
        wait_p99_s=percentile(waits, 0.99),
        wait_mean_s=sum(waits) / count,
        at_once=sum(wait <= AT_ONCE_S for wait in waits) / count,
        replica_hours=sum(run.replica_s for run in runs) / 3600,
        actions=sum(len(run.actions) for run in runs),
        reversals=sum(reversals(run.actions) for run in runs),
        unserved=sum(run.unserved for run in runs),
    )


def percentile(ranked: Sequence[float], part: float) -> float:
    """The nearest-rank percentile of sorted values, `part` from 0 to 1; 0 if there are none."""
    if not ranked:
        return 0.0
    return ranked[max(0, -(-int(part * 1000) * len(ranked) // 1000) - 1)]


def reversals(actions: Sequence[Action]) -> int:
    """The number of increases that directly follow a decrease, within `REVERSAL_S`."""
    return sum(
        before.after < before.before
        and after.after > after.before
        and after.at - before.at <= REVERSAL_S
        for before, after in pairwise(actions)
    )


def replicas_over(runs: Iterable[PoolRun], end_s: float, bins: int) -> list[int]:
    """The most requested replicas of all pools in each of `bins` equal parts of the time."""
    runs = list(runs)
    began = [(0.0, run.began_with) for run in runs]
    changes = [(action.at, action.after - action.before) for run in runs for action in run.actions]
    return _most([*began, *changes], end_s, bins)


def queue_over(trace: Trace, runs: Mapping[str, PoolRun], bins: int) -> list[int]:
    """The most waiting messages of all pools in each of `bins` equal parts of the time."""
    changes: list[tuple[float, int]] = []
    for name, tasks in trace.pools.items():
        changes += ((task.arrival_s, 1) for task in tasks)
        # tasks start in order of arrival
        started = zip(tasks, runs[name].waits_s, strict=False)
        changes += ((task.arrival_s + wait_s, -1) for task, wait_s in started)
    return _most(changes, trace.end_s, bins)


def _most(changes: list[tuple[float, int]], end_s: float, bins: int) -> list[int]:
    """The most that the changes add up to in each part of the time."""
    most, level, last = [0] * bins, 0, 0
    for at, group in groupby(sorted(changes), key=itemgetter(0)):
        part = min(int(at / end_s * bins), bins - 1) if end_s else 0
        for each in range(last + 1, part + 1):
            most[each] = level
        level += sum(by for _, by in group)
        most[part] = max(most[part], level)
        last = part
    most[last + 1 :] = [level] * (bins - last - 1)
    return most


def most_at_once(tasks: list[TraceTask]) -> int:
    """The most tasks of a pool that run at once if none waits."""
    starts = [(task.arrival_s, 1) for task in tasks]
    ends = [(task.arrival_s + task.service_s, -1) for task in tasks]
    return max(accumulate(change for _, change in sorted(starts + ends)), default=0)


def least_replica_s(tasks: list[TraceTask], world: World) -> float:
    """The least replica-seconds with which no task of a pool waits.

    Replica number j is needed while more than (j − 1)·slots tasks run. In a gap where it is not
    needed it either stays, or stops and starts again just in time, whichever costs less. Replicas
    are alike, so each j can be decided separately. With more than one slot, the bound lets tasks
    move between replicas, so it may be lower than what is possible.
    """
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
