"""The history of a pool's recommendations: runs of the same number, as few as the windows need."""

from __future__ import annotations

from math import inf

from msgspec.structs import replace

from controller.model.memory import PoolMemory, RecommendationRun
from controller.planning.inputs import Moment, PoolTerms

History = tuple[RecommendationRun, ...]


def seeded(memory: PoolMemory, replicas: int, now: float) -> PoolMemory:
    """HPA (reconcileAutoscaler): if there is no recommendation yet, the current size becomes the
    first one. So the pool does not shrink before it was observed for one window. It counts as
    active until now.
    """
    if memory.recommendations or replicas == 0:
        return memory
    run = RecommendationRun(replicas=replicas, first_at=now, last_at=now)
    was_active = memory.last_active_at is not None or memory.active_since is not None
    return replace(
        memory,
        since=now,
        last_active_at=now if was_active else None,
        active_since=None,
        recommendations=(run,),
    )


def warm_until(terms: PoolTerms, memory: PoolMemory) -> float:
    """When this memory covers one downward window."""
    return memory.since + terms.pool.behavior.scale_down.stabilization_window_s


def remember(
    history: History, replicas: int, window_s: float, *, planned_at: float, moment: Moment
) -> History:
    """The history with one more recommendation, without the runs that no longer matter.

    Every window ends now. So an older run can be the highest in a window only if no later run is as
    high, and the lowest only if no later run is as low; all others are dropped. The newest run
    stays open, so the same recommendation again does not change the history.
    """
    now = moment.now
    if history and history[-1].replicas == replicas:
        last = history[-1]
        if last.last_at is not None:
            last = RecommendationRun(replicas=replicas, first_at=last.first_at)
        if len(history) == 1 or not _is_over(history[0], window_s, moment):
            # later runs end later, so none of them is over either
            return history if last is history[-1] else (*history[:-1], last)
        kept = [run for run in history[:-1] if not _is_over(run, window_s, moment)]
        return (*kept, last)
    kept = [RecommendationRun(replicas=replicas, first_at=now)]
    lowest = highest = replicas
    oldest_end = inf
    for run in reversed(ended(history, planned_at)):
        end = inf if run.last_at is None else run.last_at + window_s
        if end <= now:
            break
        if run.replicas < lowest:
            lowest = run.replicas
        elif run.replicas > highest:
            highest = run.replicas
        else:
            continue
        kept.append(run)
        oldest_end = min(oldest_end, end)
    moment.note(oldest_end)
    kept.reverse()
    return tuple(kept)


def ended(history: History, planned_at: float) -> History:
    """The history if there is no recommendation now: its newest run ended with the last plan."""
    if not history or history[-1].last_at is not None:
        return history
    last = history[-1]
    return (
        *history[:-1],
        RecommendationRun(
            replicas=last.replicas,
            first_at=last.first_at,
            last_at=max(planned_at, last.first_at),
        ),
    )


def _is_over(run: RecommendationRun, window_s: float, moment: Moment) -> bool:
    return run.last_at is not None and moment.reached(run.last_at + window_s)
